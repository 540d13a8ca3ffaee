"""`dryad run` and `dryad tasks`: ask for work, look at it, stop it."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dryad.cli.client import Api, api, read_argument
from dryad.cli.output import (
    Json,
    ListGroup,
    Tenant,
    group,
    print_fields,
    print_json,
    print_rows,
    print_text,
    say,
    talkative,
)
from dryad.foundation.errors import InvalidRequest

app = group("List, show and cancel tasks.", ListGroup)

_LOOK_EVERY_SECONDS = 0.25
_ENDS = {"done", "refused", "rejected", "expired", "failed", "cancelled", "superseded"}
_COLUMNS = ("id", "status", "created", "text", "reason")


@app.command()
def run(
    text: Annotated[str, typer.Argument(help="What is to be done; `-` reads it from stdin.")],
    *,
    context: Annotated[str, typer.Option(help="Facts beside the text, a JSON object.")] = "{}",
    agent: Annotated[str, typer.Option(help="Skip routing: the agent that shall do it.")] = "",
    tokens: Annotated[int | None, typer.Option(help="Spend at most so many tokens.")] = None,
    cost_usd: Annotated[float | None, typer.Option(help="Spend at most so many USD.")] = None,
    key: Annotated[str, typer.Option(help="The same key names the same task.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it ended; print the answer.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Submit a task."""
    budget = {"tokens": tokens, "cost_usd": cost_usd}
    body = {
        "text": read_argument(text),
        "context": json_object(context, "--context"),
        "agent": agent,
        "budget": {name: value for name, value in budget.items() if value is not None},
        "idempotency_key": key,
    }
    with api(tenant) as client:
        task = client.post("api/v1/tasks", body)
        if wait:
            task = awaited(client, task)
    if as_json:
        print_json(task)
    elif wait:
        _print_end(task)
    else:
        print_text(task["id"])
        say(f"submitted; follow it with `dryad tasks show {task['id']}`")
    if task["status"] in _ENDS - {"done"}:
        raise typer.Exit(1)


@app.command("list")
def list_tasks(
    *,
    status: Annotated[str, typer.Option(help="Only tasks that stand so.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    before: Annotated[str, typer.Option(help="The last task of the page before.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List tasks, newest first."""
    with api(tenant) as client:
        page = client.get("api/v1/tasks", status=status, limit=limit, before=before)
    print_rows(page["items"], _COLUMNS, as_json=as_json)
    if page["next"] and not as_json:
        say(f"more with `--before {page['next']}`")


@app.command()
def show(task: str, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Show one task: who does it and why, how far it got, what was asked, what came out."""
    with api(tenant) as client:
        found = client.get(f"api/v1/tasks/{task}")
    if as_json:
        print_json(found)
        return
    decision, cases, result = (found.pop(name) for name in ("decision", "cases", "result"))
    force, moments = found.pop("force"), found.pop("timeline")
    print_fields(found, as_json=False)
    if decision:
        print_text(f"\ndecided: {decision['route']} (score {decision['score']:.2f})")
        for reason in decision["reasons"]:
            print_text(f"  · {reason}")
    for case in cases:
        print_text(f"\nquestion #{case['id']} ({case['status']}): {case['title']}")
        if verdict := case["verdict"]:
            said = f"{verdict['decision']} by {verdict['by']} (via {verdict['via']})"
            print_text(f"  · {said}: {verdict['reason']}")
    if force:
        members = ", ".join(f"{one['member']} ({one['role']})" for one in force["members"])
        print_text(f"\ntask force {force['status']}: {members}")
    print_text("\nwhat happened, UTC")
    for moment in moments:
        print_text(f"  {moment['at'][:19]}  {moment['what']}")
    if result and result["answer"]:
        print_text("")
        _print_result(result)


@app.command()
def cancel(
    task: str,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Stop a task; what it did already stays done and recorded."""
    with api(tenant) as client:
        found = client.post(f"api/v1/tasks/{task}/cancel", {"reason": reason})
    if as_json:
        print_json(found)
    else:
        say(f"{task} is cancelled")


@app.command()
def release(task: str, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Let a task that a restore holds begin anew, as a new task."""
    with api(tenant) as client:
        found = client.post(f"api/v1/tasks/{task}/release", {})
    if as_json:
        print_json(found)
    else:
        say(f"{task} is {found['reason']}")


def json_object(text: str, option: str) -> dict[str, Any]:
    """Read a JSON object from the command line.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{option} must be a JSON object, as in '{{\"a\": 1}}'")
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON or YAML file that holds one object.

    Raises:
        InvalidRequest: it holds something else.
    """
    import yaml  # noqa: PLC0415 - slow, and few commands read files

    try:
        value = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is neither JSON nor YAML") from error
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{file} must hold one object")
    return json.loads(json.dumps(value, default=str))


def awaited(client: Api, task: dict[str, Any]) -> dict[str, Any]:
    """Return a task once it has ended; a person watching is told how it stands."""
    told = ""
    while task["status"] not in _ENDS:
        if task["status"] != told:
            told = task["status"]
            if told == "waiting":
                say("it waits for a person: `dryad inbox`")
            elif talkative():
                say(f"{task['id']}: {told}")
        time.sleep(_LOOK_EVERY_SECONDS)
        task = client.get(f"api/v1/tasks/{task['id']}")
    return task


def _print_end(task: dict[str, Any]) -> None:
    if task["status"] == "done":
        _print_result(task["result"])
    else:
        say(f"{task['id']} ended {task['status']}: {task['reason']}")


def _print_result(result: dict[str, Any]) -> None:
    """Print an answer with the sources its numbers name."""
    print_text(result["answer"])
    if result["citations"]:
        print_text("")
    for number, source in enumerate(result["citations"], start=1):
        where = f"{source['origin']}, characters {source['start']} to {source['stop']}"
        print_text(f"[{number}] {source['title']}, {where} ({source['provenance']})")
    if result["degraded"]:
        say(f"degraded: {result['degraded']}")
