"""Whatever is sent, the API answers with a result or a problem, never with a fault of its own."""

from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.dryad.api.conftest import House, serving

FEW = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
STREAMS = {"/api/v1/consultations/events"}
"""They go on by design, and have tests of their own."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[House]:
    directory = tmp_path_factory.mktemp("openapi")
    with serving(directory / "home", f"sqlite:///{directory / 'dryad.db'}") as house:
        yield house


def test_no_request_is_answered_with_a_fault(served: House):
    headers = {"Authorization": f"Bearer {served.services.secrets.operator_key}"}
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    answered: Counter[str] = Counter()
    faults: list[str] = []

    def send(case: Any) -> None:
        answer = case.call(headers=headers)
        answered[case.operation.label] += 1
        problem = answer.headers.get("content-type", [""])[0] == "application/problem+json"
        away = answer.status_code == 503 and case.operation.path == "/health/ready"
        if not away and (answer.status_code >= 500 or problem != (answer.status_code >= 400)):
            faults.append(f"{case.as_curl_command()} → {answer.status_code} {answer.text[:300]}")

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in STREAMS:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            trying = given(operation.as_strategy(mode))(send)
            with suppress(Unsatisfiable):  # nothing about it can be wrong
                FEW(trying)()
    assert faults == []
    assert len(answered) > 45


def test_the_description_is_public_and_has_examples(served: House):
    with served.client(None) as stranger:
        described = stranger.get("/openapi.json").raise_for_status().json()
        assert stranger.get("/docs").status_code == 200
    schemas = described["components"]["schemas"]
    for body in ("TaskIn", "AnswerIn", "AgentIn", "ToolIn", "DocumentIn", "Switch"):
        assert schemas[body]["examples"], body
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert all("422" not in one["responses"] for one in operations)
    assert all(one.get("description") for one in operations)


def test_an_operation_can_be_called_as_its_example_says(served: House):
    with served.client(served.key("acme")) as acme:
        schemas = acme.get("/openapi.json").json()["components"]["schemas"]
        made: list[httpx.Response] = [
            acme.post(path, json=schemas[body]["examples"][0])
            for path, body in (
                ("/api/v1/tasks", "TaskIn"),
                ("/api/v1/agents", "AgentIn"),
                ("/api/v1/tools", "ToolIn"),
                ("/api/v1/tools/import", "OpenApiIn"),
                ("/api/v1/memory/documents", "DocumentIn"),
                ("/api/v1/stops", "Switch"),
            )
        ]
    assert [answer.status_code for answer in made] == [201] * 6, [one.text for one in made]
