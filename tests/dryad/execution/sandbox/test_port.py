"""What a request may be, and which rung it gets, before any strange code runs."""

import pytest

from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.port import GUARANTEES, Limits, SandboxRequest
from dryad.foundation.errors import InvalidRequest, Refused, Unavailable

_BAD_NAMES = ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", ".", "\0", "\ud800", "x" * 256]


@pytest.mark.parametrize("name", _BAD_NAMES, ids=ascii)
def test_a_name_that_leads_elsewhere_is_no_file_name(name):
    with pytest.raises(InvalidRequest, match="relative file name"):
        SandboxRequest(code="pass", files={name: b""})


@pytest.mark.parametrize("arguments", [{}, {"code": "pass", "command": ("true",)}])
def test_a_request_is_either_code_or_a_command(arguments):
    with pytest.raises(InvalidRequest, match="either"):
        SandboxRequest(**arguments)


def test_a_file_is_not_also_a_folder():
    with pytest.raises(InvalidRequest, match="folder"):
        SandboxRequest(code="pass", files={"a": b"", "a/b": b""})


def test_the_code_keeps_its_own_name():
    with pytest.raises(InvalidRequest, match="taken"):
        SandboxRequest(code="pass", files={"__main__.py": b""})
    SandboxRequest(code="true", language="shell", files={"__main__.py": b""})


def test_input_beyond_the_disk_limit_is_refused():
    with pytest.raises(InvalidRequest, match="disk limit"):
        SandboxRequest(code="pass", files={"a": bytes(100)}, limits=Limits(disk_bytes=100))


@pytest.mark.parametrize("bound", [{"wall_seconds": 0}, {"processes": -1}, {"memory_bytes": 1}])
def test_a_bound_nothing_could_run_in_is_refused(bound):
    with pytest.raises(InvalidRequest):
        Limits(**bound)


@pytest.mark.parametrize("sandbox", ["landlock"], indirect=True)
async def test_a_request_that_needs_more_than_its_rung_gives_is_refused(sandbox):
    request = SandboxRequest(code="print('ran')", needs=frozenset({"disk", "network"}))
    with pytest.raises(Refused, match="landlock does not guarantee disk"):
        await sandbox.run(request)


def test_the_strongest_rung_that_works_is_chosen(rungs):
    expected = next(status.name for status in rungs.values() if status.sandbox is not None)
    assert ladder.choose().name == expected
    assert [status.name for status in ladder.survey()] == list(ladder.RUNGS)


def test_a_rung_that_does_not_work_is_refused_with_its_reason(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="bubblewrap: bwrap is not installed"):
        ladder.choose("bubblewrap")


def test_an_engine_that_does_not_answer_is_no_sandbox(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(Unavailable, match="docker: no docker engine answers"):
        ladder.choose("docker")


def test_every_guarantee_is_said_in_a_sentence():
    assert all(len(sentence.split()) > 4 for sentence in GUARANTEES.values())
