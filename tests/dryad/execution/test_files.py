"""Files of a task: written, read, queried, fetched, made by programs, and kept for what is long."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dryad.execution import workspace
from dryad.execution.catalogue import TOOLS
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Errand, Toolbox
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.ids import TaskId
from dryad.foundation.tools import Permit, ToolSpec
from tests.dryad.execution.conftest import ACME, Shelf, run_here
from tests.servers import free_port
from tests.web import Answer, accept, reply, serve

ERRAND = Errand(ACME, TaskId("task-1"), "analyst")
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
    )


async def use(toolbox: Toolbox, tool: str | ToolSpec, *, config: Any = None, **given: Any) -> Any:
    spec = SPECS[tool] if isinstance(tool, str) else tool
    permit = Permit(replace(spec, config=config or spec.config), given, spec.tier, False)
    return await toolbox.run("run/step#1", permit, ERRAND)


def put(tmp_path: Path, name: str, content: bytes) -> None:
    workspace.write(tmp_path / ACME / "task-1", name, content)


def sending(body: bytes, kind: str) -> Answer:
    def answer(handler: Any, _received: Any, _number: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


async def test_tables_are_joined_by_a_query(toolbox: Toolbox, tmp_path: Path):
    put(tmp_path, "in/sales.csv", b"region,amount\nnorth,10\nsouth,5\nnorth,2.5\n")
    names = io.BytesIO()
    pd.DataFrame({"region": ["north"], "name": ["The North"]}).to_parquet(names)
    put(tmp_path, "names.parquet", names.getvalue())
    sql = "SELECT name, sum(amount) AS total FROM s JOIN n USING (region) GROUP BY name"
    asked = {"s": "in/sales.csv", "n": "names.parquet"}
    outcome = await use(toolbox, "query_table", sql=sql, tables=asked)
    assert outcome.value == {
        "columns": ["name", "total"], "rows": [["The North", 12.5]], "more": False
    }  # fmt: skip
    assert outcome.untrusted  # a cell may hold what somebody outside wrote


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT other FROM t", "no such column"),
        ("DROP TABLE t", "asks for nothing"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("", "asks for nothing"),
    ],
)
async def test_a_query_that_is_wrong_says_why(
    toolbox: Toolbox, tmp_path: Path, sql: str, says: str
):
    put(tmp_path, "t.csv", b"a\n1\n")
    assert says in (await use(toolbox, "query_table", sql=sql, tables={"t": "t.csv"})).failed
    with pytest.raises(NotFound):
        await use(toolbox, "query_table", sql=sql, tables={"t": "other.csv"})


async def test_many_rows_are_cut_and_said_to_be(toolbox: Toolbox, tmp_path: Path):
    put(tmp_path, "t.csv", b"a\n" + b"".join(b"%d\n" % n for n in range(1_001)))
    outcome = await use(toolbox, "query_table", sql="SELECT a FROM t", tables={"t": "t.csv"})
    assert (len(outcome.value["rows"]), outcome.value["more"]) == (1_000, True)


async def test_a_program_reads_files_of_the_task_and_makes_more(toolbox: Toolbox, tmp_path: Path):
    put(tmp_path, "numbers.txt", b"1 2 3")
    code = "open('sum.txt', 'w').write(str(sum(map(int, open('numbers.txt').read().split()))))"
    outcome = await use(toolbox, "run_python", code=code, paths=["numbers.txt"])
    assert [file["path"] for file in outcome.value["files"]] == ["sum.txt"]
    read = await use(toolbox, "read_file", path="sum.txt")
    assert read == ToolOutcome({"text": "6", "characters": 1}, untrusted=True)
    listed = await use(toolbox, "list_files")
    assert [file["path"] for file in listed.value["files"]] == ["numbers.txt", "sum.txt"]


async def test_a_program_cannot_make_a_file_elsewhere(toolbox: Toolbox):
    async def hostile(_code: str, _files: Any) -> Any:
        return replace(await run_here("pass", {}), files={"../x": b"", ".hidden": b"", "ok": b""})

    toolbox._run_code = hostile
    outcome = await use(toolbox, "run_python", code="pass")
    assert [file["path"] for file in outcome.value["files"]] == ["ok"]
    assert outcome.value["stderr"].count("was not kept") == 2


async def test_a_result_too_long_to_show_is_in_a_file(toolbox: Toolbox, tmp_path: Path):
    code = "import json; print(json.dumps({'rows': list(range(20_000))}))"
    script = ToolSpec("long", "1", "Long.", "read", kind="script", config={"code": code})
    outcome = await use(toolbox, script)
    written = outcome.value["file"]
    assert outcome.value["beginning"].startswith('{"rows":[0,1,2')
    whole = (tmp_path / ACME / "task-1" / written["path"]).read_bytes()
    assert len(whole) == written["size_bytes"] > 100_000
    part = await use(toolbox, "read_file", path=written["path"], start=len(whole) - 7)
    assert part.value["text"] == "19999]}"
    assert (await use(toolbox, script)).value == outcome.value  # again: the same file


async def test_a_page_is_read_as_text_and_a_table_is_saved(toolbox: Toolbox, tmp_path: Path):
    page = b"<html><script>steal()</script><h1>Rates</h1><p>Two <b>percent</b></p></html>"
    with serve(sending(page, "text/html; charset=utf-8")) as server:
        allowed = {"private_hosts": [server.url.removeprefix("http://")]}
        outcome = await use(toolbox, "fetch", config=allowed, url=f"{server.url}/rates")
        assert "Two **percent**" in outcome.value["text"]
        assert "steal" not in outcome.value["text"]
        assert outcome.untrusted
        with pytest.raises(Refused, match="not among the hosts"):
            await use(toolbox, "fetch", url=server.url)  # nothing is allowed at first
    with serve(sending(b"a,b\n1,2\n", "text/csv")) as server:
        allowed = {"private_hosts": [server.url.removeprefix("http://")]}
        saved = await use(toolbox, "fetch", config=allowed, url=server.url, save_as="in/t.csv")
    assert saved.value["file"]["path"] == "in/t.csv"
    assert (tmp_path / ACME / "task-1/in/t.csv").read_bytes() == b"a,b\n1,2\n"


async def test_what_cannot_be_fetched_is_a_failure_not_a_doubt(toolbox: Toolbox):
    nobody = free_port()
    config = {"private_hosts": [f"127.0.0.1:{nobody}"]}
    gone = await use(toolbox, "fetch", config=config, url=f"http://127.0.0.1:{nobody}")
    assert "nothing was sent" in gone.failed
    with serve(accept(404)) as server:
        config = {"private_hosts": [server.url.removeprefix("http://")]}
        assert (await use(toolbox, "fetch", config=config, url=server.url)).failed.endswith("404")
        config["most_bytes"] = 1
    with serve(lambda handler, *_: reply(handler, 200, b"xx")) as server:
        config["private_hosts"] = [server.url.removeprefix("http://")]
        longer = await use(toolbox, "fetch", config=config, url=server.url)
    assert "longer than the tool may read" in longer.failed


async def test_a_note_is_kept_as_untrusted_and_only_once(toolbox: Toolbox, shelf: Shelf):
    note = {"title": "Rates", "text": "The rate is two percent."}
    first = await use(toolbox, "store_memory", **note)
    assert (await use(toolbox, "store_memory", **note)).value == first.value
    (hit,) = shelf.hits
    assert (hit.text, hit.provenance) == (note["text"], "untrusted")


def test_reading_follows_no_link_and_waits_for_no_pipe(tmp_path: Path):

    room, outside = tmp_path / "room", tmp_path / "secret"
    room.mkdir()
    outside.write_text("planted")
    (room / "link").symlink_to(outside)
    (room / "door").symlink_to(tmp_path)
    os.mkfifo(room / "pipe")
    (room / "folder").mkdir()
    for name in ("link", "door/secret", "pipe", "folder"):
        with pytest.raises(Refused):
            workspace.read(room, name)
    for name in ("../secret", "/etc/passwd", ""):
        with pytest.raises(InvalidRequest):
            workspace.read(room, name)
    for name in ("nothing", "no/such"):
        with pytest.raises(NotFound):
            workspace.read(room, name)
    assert not (room / "no").exists()
    assert workspace.listing(room) == []
    assert workspace.listing(tmp_path / "nowhere") == []
