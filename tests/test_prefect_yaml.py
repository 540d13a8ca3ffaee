"""Every deployment of `prefect.yaml` can be loaded and started as it stands."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from deployments.apply import Spec, default_file, read

SPECS = read(default_file())


def test_the_file_is_the_project_s() -> None:
    assert default_file() == Path(__file__).parents[1] / "prefect.yaml"
    assert {spec.pool for spec in SPECS} == {"dryad"}


def test_no_two_deployments_share_a_name() -> None:
    names = [spec.full_name for spec in SPECS]
    assert sorted(set(names)) == sorted(names)


def test_the_main_road_is_deployed() -> None:
    assert "orchestrate-task/on-demand" in {spec.full_name for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.full_name)
def test_its_parameters_fit_the_form(spec: Spec) -> None:
    schema = dict(spec.schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    if spec.parameters or spec.schedules:  # else a person or a program gives them
        jsonschema.validate(dict(spec.parameters), schema)
    unknown = set(spec.parameters) - set(schema["properties"])
    assert not unknown
    assert spec.description, "the UI shows what the flow is for"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.full_name)
def test_prefect_deployment_run_is_enough_where_the_form_needs_nothing(spec: Spec) -> None:
    """An operator types no parameters at night."""
    form = jsonschema.Draft202012Validator(dict(spec.schema))
    assert dict(spec.parameters) or not form.is_valid({"request": {}}), "parameters: {request: {}}"


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.full_name)
def test_its_schedules_are_in_utc(spec: Spec) -> None:
    """A local time zone skips or repeats a run when the clock changes."""
    assert {schedule.timezone for schedule in spec.schedules} <= {"UTC"}


def test_entrypoints_load_away_from_the_clone(tmp_path: Path) -> None:
    names = ", ".join(repr(spec.entrypoint) for spec in SPECS)
    code = (
        f"from prefect.flows import load_flow_from_entrypoint as load; [load(e) for e in [{names}]]"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)
