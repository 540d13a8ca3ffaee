"""Every event becomes one whole line, with its ids, without its secrets."""

import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, SecretStr

from dryad.foundation import logs
from dryad.foundation.errors import NotFound
from dryad.foundation.logs import writer
from dryad.foundation.secrets import new_key_text
from tests.crowd import crowd

log = logs.get_logger("scribe")


@pytest.fixture
def directory(tmp_path: Path):
    logs.configure(tmp_path, component="tests")
    yield tmp_path
    writer._outlet.close()
    writer._outlet.least = writer.LEVELS["WARNING"]


def lines(directory: Path, name: str = "gremlins_app.log") -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (directory / name).read_bytes().splitlines()]


def test_a_line_has_its_keys_in_the_fixed_order(directory: Path):
    with logs.bound(tenant="acme", run="r1", task="t1", agent="a1", trace="0af7", span="b7ad"):
        log.info("note_kept", duration_ms=1.5, words=12, code="not_found")
    assert list(lines(directory)[0]) == [
        "timestamp", "level", "code", "component", "event", "tenant_id", "run_id", "task_id",
        "agent_id", "trace_id", "span_id", "host", "words", "duration_ms",
    ]  # fmt: skip


def test_ids_are_bound_inside_the_block_only_and_may_be_given_by_either_name(directory: Path):
    with logs.bound(tenant="acme"), logs.bound(task="t1"):
        log.info("inside", agent="researcher", run_id="r1")
    log.info("outside")
    inside, outside = lines(directory)
    assert (inside["tenant_id"], inside["task_id"], inside["agent_id"], inside["run_id"]) == (
        "acme", "t1", "researcher", "r1",
    )  # fmt: skip
    assert not {"tenant_id", "task_id"} & outside.keys()


def test_every_event_goes_to_the_files_it_belongs_to(directory: Path):
    log.debug("unheard")
    log.info("heard")
    log.error("failed")
    logs.get_logger("access").info("request", status=200)
    logs.get_logger("access").error("request", status=500)
    events = {name: [line["event"] for line in lines(directory, name)] for name in logs.FILES}
    assert events == {
        "gremlins_app.log": ["heard", "failed"],
        "gremlins_errors.log": ["failed", "request"],
        "gremlins_access.log": ["request", "request"],
    }


def test_the_greps_of_the_runbook_work(directory: Path):
    with logs.bound(tenant="test_tenant"):
        log.info("asked", tool="search", duration_ms=7012.4)
    with logs.bound(tenant="other"):
        log.error("failed", error=NotFound("no database"), words=5123)
    logs.get_logger("access").warning("request", status=401, duration_ms=3.2)

    def grep(pattern: str, name: str) -> int:
        command = ["grep", "-c", pattern, directory / name]
        return int(subprocess.run(command, capture_output=True, check=False).stdout)

    assert grep("tenant_id.*test_tenant", "gremlins_app.log") == 1
    assert grep("ERROR", "gremlins_app.log") == 1
    assert grep("ERROR", "gremlins_errors.log") == 1
    assert grep("database", "gremlins_errors.log") == 1
    assert grep("duration.*[5-9][0-9][0-9][0-9]", "gremlins_app.log") == 1
    assert grep(r"401\|403\|500", "gremlins_access.log") == 1


def test_an_error_gives_the_line_its_code_and_traceback(directory: Path):
    def find() -> None:
        raise NotFound("no agent of that name")

    try:
        find()
    except NotFound:
        log.exception("agent_missing")
    line = lines(directory, "gremlins_errors.log")[0]
    assert (line["level"], line["code"]) == ("ERROR", "not_found")
    assert line["error"] == "NotFound: no agent of that name"
    assert "test_logs.py" in line["exception"]


@dataclass
class Connection:
    host: str
    password: str


class Provider(BaseModel):
    name: str
    api_key: str


SECRETS = [
    {"password": "hunter2"},
    {"nested": [{"deep": {"apiKey": "hunter2"}}]},
    {"headers": {"Authorization": "hunter2", "X-Api-Key": "hunter2", "Cookie": "hunter2"}},
    {"form": {"code": "hunter2", "decision_code": "hunter2"}},
    {"code": "HUNTER2-hunter2"},
    {"access_token": "hunter2", "client_secret": "hunter2", "prefect_auth": "hunter2"},
    {"key": SecretStr("hunter2"), "inner": {"v": (SecretStr("hunter2"),)}},
    {"object": Connection("db", "hunter2")},
    {"model": Provider(name="m", api_key="hunter2")},
    {"url": "postgresql://dryad:hunter2@db:5432/dryad"},
    {"raw": b"hunter2"},
]


@pytest.mark.parametrize("values", SECRETS, ids="-".join)
def test_no_secret_reaches_a_file(directory: Path, values: dict[str, Any]):
    log.error("connected", **values, kept="visible")
    for name in ("gremlins_app.log", "gremlins_errors.log"):
        text = (directory / name).read_text()
        assert "hunter2" not in text
        assert "HUNTER2" not in text
        assert "visible" in text


def test_an_api_key_inside_prose_is_cut_to_its_id(directory: Path):
    text = new_key_text()
    log.info("asked", question=f"what is wrong with {text}?")
    line = lines(directory)[0]
    assert text.rsplit("_", 1)[1] not in str(line)
    assert text.split("_")[2] in line["question"]


def test_what_only_sounds_secret_stays_readable(directory: Path):
    log.info("answered", tokens=12, token_count=3, exit_code=1, status_code=200, author="a")
    line = lines(directory)[0]
    assert [line[k] for k in ("tokens", "token_count", "exit_code", "status_code", "author")] == [
        12, 3, 1, 200, "a",
    ]  # fmt: skip


def test_no_content_loses_or_breaks_a_line(directory: Path):
    loop: dict[str, Any] = {}
    loop["self"] = loop
    for value in ("a\nb\x00\u2028", "\ud800", 2**70, {1: {2, 3}}, float("nan"), object(), loop):
        log.info("odd", value=value)
    assert [line["event"] for line in lines(directory)] == ["odd"] * 7


def test_a_very_long_line_is_cut_and_says_so(directory: Path):
    log.info("long", text="x" * 1_000_000, duration_ms=1)
    line = lines(directory)[0]
    assert line["cut_from_bytes"] > 1_000_000
    assert line["beginning"].startswith('{"text":"xxx')
    assert len((directory / "gremlins_app.log").read_bytes()) < writer.MAX_LINE_BYTES


def test_every_timestamp_is_equally_wide_and_utc(tmp_path: Path):
    logs.configure(tmp_path, component="t", clock=lambda: datetime(2026, 1, 1, 12, tzinfo=UTC))
    log.info("noon")
    logs.configure(tmp_path, component="t", clock=lambda: datetime(2026, 1, 1, 12, 0, 0, 7, UTC))
    log.info("noon")
    writer._outlet.close()
    assert [line["timestamp"] for line in lines(tmp_path)] == [
        "2026-01-01T12:00:00.000000Z",
        "2026-01-01T12:00:00.000007Z",
    ]


def test_before_anything_is_configured_only_warnings_speak_and_on_stderr():
    code = (
        "from dryad.foundation import logs; log = logs.get_logger('x');"
        "log.info('quiet'); log.warning('loud')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == ""
    assert orjson.loads(ended.stderr)["event"] == "loud"


def test_a_log_that_cannot_be_written_does_not_stop_the_work(
    directory: Path, capsys: pytest.CaptureFixture[str]
):
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    writer._outlet.files["gremlins_app.log"]._look_again = 0
    log.info("still_said")
    said = capsys.readouterr().err.splitlines()
    assert orjson.loads(said[0])["event"] == "still_said"
    assert "cannot be written" in said[1]
    directory.mkdir()


def test_a_removed_file_is_made_again(directory: Path):
    log.info("before")
    (directory / "gremlins_app.log").unlink()
    writer._outlet.files["gremlins_app.log"]._look_again = 0
    log.info("after")
    assert [line["event"] for line in lines(directory)] == ["after"]


def test_rotation_keeps_so_many_files(tmp_path: Path):
    app = tmp_path / "gremlins_app.log"
    for text in ("1", "22", "333", "4444"):
        app.write_text(text)
        assert logs.rotate(tmp_path, max_bytes=1, keep=2) == [app]
    app.write_text("")
    assert logs.rotate(tmp_path, max_bytes=1, keep=2) == []
    kept = {file.name: file.read_text() for file in tmp_path.glob("gremlins_app.log*")}
    assert kept == {
        "gremlins_app.log": "", "gremlins_app.log.1": "4444", "gremlins_app.log.2": "333",
    }  # fmt: skip


LINES_EACH = 5000


def say_many(directory: str) -> int:
    """Two threads share the numbers between them."""
    logs.configure(Path(directory), component="crowd")

    def say(first: int) -> None:
        for number in range(first, LINES_EACH, 2):
            log.error("counted", number=number, padding="x" * (number % 700))

    other = threading.Thread(target=say, args=(1,))
    other.start()
    say(0)
    other.join()
    return LINES_EACH


def test_four_writing_processes_lose_and_tear_no_line_while_files_rotate(tmp_path: Path):
    stop = threading.Event()
    rotated = 0

    def keep_rotating() -> None:
        nonlocal rotated
        while not stop.wait(0.02):
            rotated += len(logs.rotate(tmp_path, max_bytes=50_000, keep=10_000))

    keeper = threading.Thread(target=keep_rotating)
    keeper.start()
    try:
        ended = crowd(4, f"{__name__}:say_many", tmp_path)
    finally:
        stop.set()
        keeper.join()
    assert [e.complained for e in ended if e.status] == []
    assert rotated > 2
    for name in ("gremlins_app.log", "gremlins_errors.log"):
        found = [
            orjson.loads(line)["number"]
            for file in tmp_path.glob(f"{name}*")
            for line in file.read_bytes().splitlines()
        ]
        assert sorted(found) == sorted(list(range(LINES_EACH)) * 4)
