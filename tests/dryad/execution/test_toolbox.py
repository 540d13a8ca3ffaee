"""The built-in tools do what they say, inside their bounds, and fail truthfully."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dryad.execution import workspace
from dryad.execution.arithmetic import evaluate
from dryad.execution.catalogue import AGENTS, GRANTS, TOOLS, provision_catalogue
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Errand, Toolbox
from dryad.foundation.errors import (
    DryadError,
    InvalidRequest,
    LimitExceeded,
    Refused,
    Unavailable,
)
from dryad.foundation.ids import TaskId
from dryad.foundation.tools import Permit, ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, Hit, Shelf, run_here
from tests.servers import free_port
from tests.web import accept, serve

ERRAND = Errand(ACME, TaskId("task-1"), "messenger")
SPECS = {spec.name: spec for spec in TOOLS}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def toolbox(tmp_path: Path, shelf: Shelf) -> Toolbox:
    return Toolbox(
        find=shelf.find,
        shelve=shelf.shelve,
        run_code=run_here,
        workspaces=tmp_path,
        mailbox=tmp_path / "mailbox",
        clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


async def use(
    toolbox: Toolbox, tool: str | ToolSpec, *, config: Any = None, **arguments: Any
) -> ToolOutcome:
    spec = SPECS[tool] if isinstance(tool, str) else tool
    spec = replace(spec, config=config or spec.config)
    permit = Permit(spec, arguments, spec.tier, needs_approval=False)
    return await toolbox.run("run/step#1", permit, ERRAND)


async def test_search_returns_passages_and_their_provenance(toolbox: Toolbox, shelf: Shelf):
    shelf.hits += [Hit("a lease"), Hit("a cat"), Hit("lease two", provenance="untrusted")]
    outcome = await use(toolbox, "search_memory", query="lease", limit=5)
    assert outcome.value == {"found": 2}
    assert [passage.text for passage in outcome.passages] == ["a lease", "lease two"]
    assert outcome.untrusted
    assert ToolOutcome.from_json(outcome.to_json()) == outcome


async def test_python_runs_with_its_files_and_its_output_is_cut(toolbox: Toolbox):
    code = "print(open('a.txt').read()); print('x' * 30_000)"
    outcome = await use(toolbox, "run_python", code=code, files={"a.txt": "hello"})
    assert outcome.value["stdout"].startswith("hello\n")
    assert outcome.value["stdout"].endswith("characters more")
    assert len(outcome.value["stdout"]) < 20_100
    failed = await use(toolbox, "run_python", code="import sys; sys.exit(3)")
    assert failed.value["exit_code"] == 3


async def test_a_script_tool_reads_arguments_and_prints_json(toolbox: Toolbox):
    code = "import json; print(json.dumps({'n': json.load(open('arguments.json'))['n'] * 2}))"
    number = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    spec = ToolSpec(
        "double", "1", "Double.", "read", kind="script", output_schema=number, config={"code": code}
    )
    assert (await use(toolbox, spec, n=21)).value == {"n": 42}
    wrong = await use(toolbox, spec, config={"code": "print('{}')"}, n=1)
    assert "returned what it must not: 'n' is a required" in wrong.failed
    assert "printed no JSON" in (await use(toolbox, spec, config={"code": "print(1, 2)"})).failed
    dead = await use(toolbox, spec, config={"code": "raise SystemExit('no luck')"})
    assert dead.failed == "double ended with 1: no luck\n"


async def test_the_clock_and_the_calculator_answer(toolbox: Toolbox):
    assert (await use(toolbox, "clock")).value == {"utc": "2026-01-02T03:04:05+00:00"}
    assert (await use(toolbox, "calculate", expression="2 * (3 + 4)")).value == {"value": 14}
    large = await use(toolbox, "calculate", expression="2 ** 100")
    assert large.value == {"value": str(2**100)}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7), ("-(2 ** 3) // 3", -3), ("7 % 4", 3), ("1 / 4", 0.25),
        ("sqrt(16) + abs(-1)", 5), ("max(1, 5, 3) - min(2, 8)", 3), ("mean(1, 2, 6)", 3),
        ("median(1, 9, 4) + sum(1, 1)", 6), ("round(2.6)", 3), ("0 ** 0", 1), ("+5", 5),
    ],
)  # fmt: skip
def test_arithmetic_has_its_value(expression: str, value: float):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')", "().__class__", "a + 1", "1 if 1 else 2", "[1]", "'a'",
        "True + 1", "1 / 0", "9 ** 9 ** 9", "2 ** 10000", "1e308 * 10", "(-8) ** 0.5", "10 ** -1j",
        "abs()", "abs(1, 2)", "sum(numbers=1)", "max()", "sqrt(-1)", "", "1 +", "(" * 300,
        "1" * 501, "-" * 400 + "1" * 99 + "x", "lambda: 1", "1 << 9",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused_at_once(expression: str):
    started = time.monotonic()
    with pytest.raises(InvalidRequest):
        evaluate(expression)
    assert time.monotonic() - started < 1


async def test_a_file_is_written_below_its_task(toolbox: Toolbox, tmp_path: Path):
    for text in ("one", "two"):
        outcome = await use(toolbox, "write_file", path="out/a.txt", content=text)
    assert (tmp_path / "acme/task-1/out/a.txt").read_text() == "two"
    assert outcome.value["size_bytes"] == 3
    assert sorted(path.name for path in (tmp_path / "acme/task-1/out").iterdir()) == ["a.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/x", "../x", "a/../../x", "", ".", "a//b", "a/", ".hidden", "a\x00b", "a\nb",
        "a\\b", "/".join("abcdefghi"), "x" * 201,
    ],
)  # fmt: skip
def test_a_name_that_leads_out_is_invalid(tmp_path: Path, name: str):
    with pytest.raises(InvalidRequest):
        workspace.write(tmp_path / "room", name, b"x")
    assert list(tmp_path.rglob("*")) == []


def test_links_are_never_followed(tmp_path: Path):
    room, outside = tmp_path / "room", tmp_path / "outside"
    room.mkdir()
    outside.mkdir()
    (room / "door").symlink_to(outside)
    (room / "file").symlink_to(outside / "target")
    (room / ".trap.partial").symlink_to(outside / "target")
    for name in ("door/x", "trap"):
        with pytest.raises(Refused):
            workspace.write(room, name, b"x")
    workspace.write(room, "file", b"x")  # the link is replaced, its target is not written
    assert list(outside.iterdir()) == []
    (tmp_path / "alias").symlink_to(room)
    with pytest.raises(DryadError):
        workspace.write(tmp_path / "alias", "x", b"x")
    with pytest.raises(Refused):
        workspace.write(room, "file/x", b"x")
    with pytest.raises(LimitExceeded):
        workspace.write(room, "large", b"x" * 1_000_001)


async def test_a_notification_arrives_with_its_key(toolbox: Toolbox):
    with serve(accept(202)) as outside:
        outcome = await use(
            toolbox, "notify", config={"url": f"{outside.url}/hook"}, to="ops", message="hello"
        )
    assert outcome == ToolOutcome({"status": 202, "delivered_to": "127.0.0.1"})
    (letter,) = outside.received
    assert letter.path == "/hook"
    assert letter.headers["Idempotency-Key"] == "run/step#1"
    assert letter.body == {
        "to": "ops", "message": "hello", "task": "task-1", "agent": "messenger"
    }  # fmt: skip


async def test_a_redirect_is_not_followed(toolbox: Toolbox):
    with serve(accept()) as elsewhere, serve(accept(307, Location=elsewhere.url)) as outside:
        outcome = await use(
            toolbox, "notify", config={"url": outside.url}, to="ops", message="hello"
        )
    assert outcome.failed == "the receiver refused with HTTP 307"
    assert elsewhere.received == []


async def test_what_surely_was_not_sent_is_a_failure_and_the_rest_is_in_doubt(toolbox: Toolbox):
    letter = {"to": "ops", "message": "hello"}
    nobody = {"url": f"http://127.0.0.1:{free_port()}"}
    outcome = await use(toolbox, "notify", config=nobody, **letter)
    assert outcome.failed == "the receiver cannot be reached; nothing was sent"
    for config in ({"url": "file:///etc/passwd"}, {"url": 7}, {"url": "http://[::1"}):
        with pytest.raises(Refused):
            await use(toolbox, "notify", config=config, **letter)
    with serve(accept(503)) as outside, pytest.raises(Unavailable, match="HTTP 503"):
        await use(toolbox, "notify", config={"url": outside.url}, **letter)

    def hang_up(handler: Any, _received: Any, _number: int) -> None:
        handler.close_connection = True

    with serve(hang_up) as outside, pytest.raises(Unavailable, match="did not confirm"):
        await use(toolbox, "notify", config={"url": outside.url}, **letter)


async def test_a_tool_nobody_implements_is_refused(toolbox: Toolbox):
    with pytest.raises(Refused, match="nothing here implements it"):
        await use(toolbox, ToolSpec("fly", "1", "Fly.", "read"))


def test_a_tenant_is_provisioned_once_and_keeps_its_changes(desk: Desk):
    desk.tools.revoke(ACME, "messenger", "notify")
    desk.tools.set_status(ACME, "clock", "1", "inactive")
    provision_catalogue(ACME, tools=desk.tools, agents=desk.agents)
    assert {agent.id for agent in desk.agents.list(ACME)} == {agent.id for agent in AGENTS}
    assert {spec.name for spec in desk.tools.list(ACME)} == {spec.name for spec in TOOLS}
    assert desk.tools.get(ACME, "clock").status == "inactive"
    offered = {
        agent: tuple(sorted(spec.name for spec in desk.tools.offered(ACME, agent)))
        for agent in GRANTS
    }
    assert offered == {
        "researcher": ("search_memory",),
        "analyst": (
            "calculate",
            "list_files",
            "query_table",
            "read_file",
            "run_python",
            "search_memory",
        ),
        "messenger": ("write_file",),
    }
    assert [agent.id for agent in desk.agents.discover(ACME, ["research"])] == [
        "researcher",
        "analyst",
    ]
