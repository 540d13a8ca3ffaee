"""`dryad logs`: read the logs from their end, through the API or from this machine's files."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from dryad.cli.client import api
from dryad.cli.output import Json, Tenant, cell, group, print_json, print_rows, print_text, say
from dryad.foundation import environment as reader
from dryad.foundation import logs as files
from dryad.foundation.errors import InvalidRequest, Unavailable
from dryad.foundation.logs import Filter
from dryad.foundation.setting_types import UNITS

app = group("Read the logs from their end.")

_HEAD = ("timestamp", "level", "component", "event")


@app.command()
def logs(
    *,
    since: Annotated[str, typer.Option(help="A time, or an age as in 15m, 2h, 7d.")] = "",
    until: Annotated[str, typer.Option(help="Exclusive; a time or an age.")] = "",
    level: Annotated[str, typer.Option(help="The least level, as in ERROR.")] = "",
    component: Annotated[str, typer.Option(help="As in api, keeper, run, access.")] = "",
    event: Annotated[str, typer.Option()] = "",
    code: Annotated[str, typer.Option(help="As in not_found.")] = "",
    task: Annotated[str, typer.Option()] = "",
    run: Annotated[str, typer.Option()] = "",
    agent: Annotated[str, typer.Option()] = "",
    trace: Annotated[str, typer.Option()] = "",
    status: Annotated[str, typer.Option(help="HTTP statuses, as in 401,403,500.")] = "",
    slower: Annotated[str, typer.Option(help="Only what took longer, as in 5s.")] = "",
    count_by: Annotated[str, typer.Option(help="Count by code, event, status, …")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    local: Annotated[
        bool, typer.Option("--local", help="This machine's files, all tenants.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Read the logs from their end."""
    query: dict[str, Any] = {
        "since": _time(since, "--since"),
        "until": _time(until, "--until"),
        "level": level.upper() or None,
        "component": component or None,
        "event": event or None,
        "code": code or None,
        "task": task or None,
        "run": run or None,
        "agent": agent or None,
        "trace": trace or None,
        "status": _numbers(status),
        "slower_ms": _seconds(slower, "--slower") * 1000 if slower else None,
        "limit": limit,
    }
    found = _here(query, count_by) if local else _anywhere(query, count_by, tenant)
    if as_json:
        print_json(found)
    elif count_by:
        rows = [{count_by: value, "lines": n} for value, n in found["values"].items()]
        print_rows(rows, (count_by, "lines"), as_json=False)
    else:
        for entry in found["entries"]:
            _print_line(entry)
    say(f"hosts: {', '.join(found['hosts'])}{'' if found['complete'] else '; there may be more'}")


def _anywhere(query: dict[str, Any], count_by: str, tenant: str) -> dict[str, Any]:
    try:
        with api(tenant) as client:
            return client.get(f"api/v1/logs/by/{count_by}" if count_by else "api/v1/logs", **query)
    except Unavailable as error:
        say(f"{error.message}; reading this machine's files instead")
        return _here(query, count_by)


def _here(query: dict[str, Any], count_by: str) -> dict[str, Any]:
    settings, _ = reader.load()
    same = {name: value for name, value in query.items() if name not in {"status", "slower_ms"}}
    slower = query["slower_ms"]
    wanted = Filter(
        **same,
        statuses=frozenset(query["status"]),
        slower=None if slower is None else timedelta(milliseconds=slower),
    )
    if count_by:
        return asdict(files.count_by(settings.logs_dir, wanted, count_by))
    return asdict(files.read(settings.logs_dir, wanted))


def _print_line(entry: dict[str, Any]) -> None:
    rest = {name: value for name, value in entry.items() if name not in _HEAD and value != ""}
    values = " ".join(f"{name}={cell(value, most=200)}" for name, value in rest.items())
    print_text(" ".join(str(entry.get(name, "")) for name in _HEAD) + f"  {values}")


def _time(text: str, option: str) -> datetime | None:
    if not text:
        return None
    if re.fullmatch(r"[\d.]+(ms|s|m|h|d)", text):
        return datetime.now(UTC) - timedelta(seconds=_seconds(text, option))
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{option} must be a time or an age as in 15m, got {text!r}"
        ) from error
    return time.astimezone() if time.tzinfo is None else time


def _seconds(text: str, option: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if match is None:
        raise InvalidRequest(f"{option} must be a duration as in 5s or 15m, got {text!r}")
    return float(match[1]) * UNITS[match[2]]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InvalidRequest(f"--status must be numbers, as in 401,403, got {text!r}") from error
