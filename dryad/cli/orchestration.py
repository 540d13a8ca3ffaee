"""`dryad orchestration`: train, measure and correct the complexity score."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dryad.cli.output import Json, Tenant, group, print_fields, print_json, print_rows, say
from dryad.foundation.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from dryad.orchestration.training import Measured

app = group("Train, measure and correct the complexity score.")

Data = Annotated[
    Path, typer.Option("--data", help="Directory of TaskBench: it holds data_<domain>/.")
]


@app.command()
def train(
    data: Data,
    *,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="stdout")] = None,
) -> None:
    """Fit the model to labelled requests and write its coefficients as JSON."""
    from dryad.orchestration import taskbench, training  # noqa: PLC0415 - numpy, only when training

    about = {
        "data": taskbench.NAME,
        "origin": taskbench.ORIGIN,
        "licence": taskbench.LICENCE,
        "sha256": taskbench.checksums(data),
    }
    model = training.train(taskbench.read_taskbench(data), about=about)
    if out is None:
        print_json(model.to_json())
        return
    out.write_text(json.dumps(model.to_json(), indent=1) + "\n", encoding="utf-8")
    say(f"trained on {model.trained_on['prompts']:,} requests; written to {out}")


@app.command()
def evaluate(
    data: Data,
    *,
    diagram: Annotated[
        Path | None, typer.Option(help="SVG file for the reliability diagram.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold out one domain after the other and compare the score with simpler ones."""
    from dryad.orchestration import taskbench, training  # noqa: PLC0415 - numpy, only when measuring

    measured = training.evaluate(taskbench.read_taskbench(data))
    if diagram is not None:
        diagram.write_text(_drawn(measured), encoding="utf-8")
        say(f"the reliability diagram is in {diagram}")
    rows: list[dict[str, Any]] = [
        {
            "scorer": one.scorer,
            "domain": one.domain,
            "auroc": round(one.auroc, 4),
            "f1": round(one.f1, 3),
            "ece": round(one.ece, 3),
            "bins": one.bins,
        }
        for one in measured
    ]
    print_rows(rows, ("scorer", "domain", "auroc", "f1", "ece"), as_json=as_json)


@app.command()
def recalibrate(
    labels: Annotated[
        Path | None,
        typer.Argument(help='Lines of {"decision": ID or "text": TEXT, "several": true|false}.'),
    ] = None,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last correction back.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Show what it would be, change nothing.")] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Fit the tenant's scores to its own labelled decisions; 50 to 100 are a good number."""
    from dryad.cli.client import api  # noqa: PLC0415 - training talks to nobody

    if undo == (labels is not None):
        raise InvalidRequest("name a file of labels, or say --undo")
    with api(tenant) as client:
        if labels is None:
            made = client.post("api/v1/decisions/recalibration/undo")
            say(f"policy version {made['version']} is in force")
        else:
            body = {"labels": _labels(labels), "apply": not dry_run}
            made = client.post("api/v1/decisions/recalibration", body)
            say(
                "nothing was changed"
                if dry_run
                else f"policy version {made['policy_version']} is in force; "
                "`dryad orchestration recalibrate --undo` takes it back"
            )
    print_fields(made, as_json=as_json)


def _labels(path: Path) -> list[Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(f"{path} is no file of JSON lines: {error}") from error


def _drawn(measured: "Sequence[Measured]") -> str:
    from dryad.orchestration.diagram import reliability_diagram  # noqa: PLC0415 - needs training
    from dryad.orchestration.training import OURS, RECALIBRATED  # noqa: PLC0415 - numpy

    shown = [one for one in measured if one.scorer in {OURS, RECALIBRATED}]
    return reliability_diagram(
        [(f"{one.domain}: {one.scorer}", [bin_[:2] for bin_ in one.bins]) for one in shown]
    )
