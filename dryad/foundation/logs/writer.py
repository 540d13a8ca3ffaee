"""Say what happened: an event with values, bound to the ids of what is being worked on."""

import json
import re
import socket
import sys
import traceback
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
from structlog import BoundLoggerBase
from structlog.contextvars import bound_contextvars, merge_contextvars

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.errors import DryadError
from dryad.foundation.logs.files import ACCESS, APP, ERRORS, Appender
from dryad.foundation.logs.redaction import REDACTED, is_secret, redacted, scrubbed

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LEVELS: dict[str, int] = {name: rank for rank, name in enumerate(get_args(Level), start=1)}

MAX_LINE_BYTES = 64_000
"""A longer line is cut, and says so."""

_IDS = ("tenant_id", "run_id", "task_id", "agent_id", "trace_id", "span_id")
_ID_NAMES = {name: name for name in _IDS} | {name.removesuffix("_id"): name for name in _IDS}
_PLAIN = frozenset({str, int, float, bool, type(None)})
_CODE = re.compile(r"[a-z][a-z_]{0,39}")


class Outlet:
    """Where the lines of this process go; until `configure` says so, warnings go to stderr."""

    def __init__(self) -> None:
        self.least = LEVELS["WARNING"]
        self.component = ""
        self.host = socket.gethostname()
        self.clock: Clock = utc_now
        self.files: dict[str, Appender] = {}

    def write(self, rank: int, component: str, line: bytes) -> None:
        """Append `line` where events of that rank and component belong."""
        if not self.files:
            _to_stderr(line)
            return
        try:
            self.files[ACCESS if component == "access" else APP].append(line)
            if rank >= LEVELS["ERROR"]:
                self.files[ERRORS].append(line)
        except OSError as error:  # a full disk must not stop the work; somebody may see this
            _to_stderr(line)
            _to_stderr(f"the log cannot be written: {error}\n".encode())

    def close(self) -> None:
        """Give the files back; warnings go to stderr again."""
        files, self.files = self.files, {}
        for file in files.values():
            file.close()


_outlet = Outlet()


class Log(BoundLoggerBase):
    """What one component says: the name of an event and its values, never prose."""

    def debug(self, event: str, **values: Any) -> None:
        """Say what only a developer wants to know."""
        self._say("DEBUG", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Say that something happened as it should."""
        self._say("INFO", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Say that something is not as it should be, and the work goes on."""
        self._say("WARNING", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Say that something failed."""
        self._say("ERROR", event, values)

    def critical(self, event: str, **values: Any) -> None:
        """Say that somebody must look now."""
        self._say("CRITICAL", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Say that something failed, with the traceback of the error being handled."""
        error = sys.exception()
        self._say("ERROR", event, {"error": error, **values, "exception": traceback.format_exc()})

    def _say(self, level: Level, event: str, values: Mapping[str, Any]) -> None:
        rank = LEVELS[level]
        if rank < _outlet.least:
            return
        said: MutableMapping[str, Any] = merge_contextvars(None, level, {**self._context, **values})
        component = str(said.pop("component", "") or _outlet.component)
        _outlet.write(rank, component, _line(level, component, event, said))


def get_logger(component: str) -> Log:
    """Return the log of one component: the noun that names a part of DRYAD."""
    return Log(_outlet, [], {"component": component})


def configure(
    directory: Path, *, component: str, level: Level = "INFO", clock: Clock = utc_now
) -> None:
    """Send the lines of this process to the files in `directory`, from now on.

    Args:
        directory: Made if it is not there.
        component: What this process is (`api`, `keeper`, `run`, …); stands in lines of loggers
            that name none.
        level: The least level written.
        clock: Tells the time of every line.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _outlet.close()
    _outlet.least, _outlet.component, _outlet.clock = LEVELS[level], component, clock
    _outlet.files = {name: Appender(directory / name) for name in (APP, ERRORS, ACCESS)}


@contextmanager
def bound(
    *,
    tenant: str | None = None,
    run: str | None = None,
    task: str | None = None,
    agent: str | None = None,
    trace: str | None = None,
    span: str | None = None,
) -> Generator[None]:
    """Put these ids on every line said inside the block, in this thread and the tasks it starts."""
    values = (tenant, run, task, agent, trace, span)
    ids = {name: value for name, value in zip(_IDS, values, strict=True) if value is not None}
    with bound_contextvars(**ids):
        yield


def _line(level: Level, component: str, event: str, said: Mapping[str, Any]) -> bytes:
    """Order the keys, hide secrets, and write one line; no content may fail or lose it."""
    ids, rest = _parted(said)
    code, duration = rest.pop("code", ""), rest.pop("duration_ms", None)
    now = _outlet.clock()
    head: dict[str, Any] = {
        "timestamp": now if now.microsecond else stamp(now),  # orjson drops zero microseconds
        "level": level,
        "code": code,
        "component": component,
        "event": event,
    }
    head |= {name: ids[name] for name in _IDS if name in ids}
    head["host"] = _outlet.host
    tail = {} if duration is None else {"duration_ms": duration}
    text = _json({**head, **rest, **tail})
    if len(text) > MAX_LINE_BYTES:
        shown = _json(rest)[: MAX_LINE_BYTES // 8].decode(errors="replace")
        cut = {"cut_from_bytes": len(text), "beginning": shown}
        text = _json({**head, "event": event[:1000], **cut, **tail})
    return scrubbed(text)


def _parted(said: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the ids and the redacted rest; a `code` in the rest is the code of an error."""
    ids: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for key, value in said.items():
        if key in _ID_NAMES:
            ids[_ID_NAMES[key]] = str(value)
        elif key == "code":
            rest["code"] = value if _CODE.fullmatch(str(value)) else REDACTED
        elif is_secret(key):
            rest[key] = REDACTED
        elif type(value) in _PLAIN:
            rest[key] = value
        else:
            rest[key] = redacted(value)
            if isinstance(value, DryadError):
                rest.setdefault("code", value.code)
    return ids, rest


def stamp(time: datetime) -> str:
    """Return `time` as every line tells it: UTC, 27 characters wide, so that text sorts as time."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _json(line: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits
        text = json.dumps(line, default=stamp, separators=(",", ":"), ensure_ascii=False)
        return text.encode(errors="replace") + b"\n"


def _to_stderr(line: bytes) -> None:
    sys.stderr.write(line.decode(errors="replace"))
