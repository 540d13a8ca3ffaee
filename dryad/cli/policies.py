"""`dryad policies`: when a person must be asked, version by version."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from dryad.cli.client import api
from dryad.cli.output import (
    Json,
    ShowGroup,
    Tenant,
    group,
    print_fields,
    print_json,
    print_rows,
    say,
)
from dryad.cli.tasks import json_object
from dryad.foundation.errors import InvalidRequest

app = group("When a person must be asked.", ShowGroup)

_RECORD = ("version", "author", "created")


@app.command()
def show(
    *,
    version: Annotated[int | None, typer.Option(min=0, show_default="in force")] = None,
    every: Annotated[bool, typer.Option("--all", help="List every version.")] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show the policy in force, or one version, or all."""
    with api(tenant) as client:
        if every:
            found = client.items("api/v1/policies")
            print_rows(found, tuple(found[0]), as_json=as_json)
            return
        which = "current" if version is None else version
        print_fields(client.get(f"api/v1/policies/{which}"), as_json=as_json)


@app.command("set")
def set_policy(
    changes: Annotated[list[str], typer.Argument(help="FIELD=VALUE …, or a JSON file.")],
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Put a policy in force: fields that change, or a whole document from a file."""
    with api(tenant) as client:
        document = client.get("api/v1/policies/current")
        for name in _RECORD:
            document.pop(name)
        if len(changes) == 1 and "=" not in changes[0]:
            document = json_object(_text(Path(changes[0])), changes[0])
        else:
            document |= dict(_changed(change) for change in changes)
        made = client.put("api/v1/policies/current", document)
    print_fields(made, as_json=as_json)
    say(f"version {made['version']} is in force")


@app.command()
def diff(
    older: Annotated[int, typer.Argument(min=0)],
    newer: Annotated[int | None, typer.Argument(min=0, show_default="in force")] = None,
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show the fields in which two versions differ."""
    with api(tenant) as client:
        before = client.get(f"api/v1/policies/{older}")
        after = client.get(f"api/v1/policies/{'current' if newer is None else newer}")
    rows = [
        {"field": name, "before": before[name], "after": after[name]}
        for name in before
        if name not in _RECORD and before[name] != after[name]
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("field", "before", "after"), as_json=False)


@app.command("test")
def try_policy(
    *,
    tier: Annotated[
        str, typer.Option(help="read, reversible, irreversible, external or authority.")
    ],
    tool: Annotated[str, typer.Option(help="Name of the tool.")] = "",
    agent: Annotated[str, typer.Option(help="Who would call it.")] = "",
    action: Annotated[str, typer.Option(help="The kind of action.")] = "tool_execution",
    requester: Annotated[str, typer.Option(help="Who asked for the task.")] = "",
    document: Annotated[str, typer.Option(help="Try this JSON file instead.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Say who would have to say yes, by the policy in force or by a document; nothing is set."""
    body: dict[str, Any] = {
        "tier": tier, "tool": tool, "agent": agent, "action": action, "requester": requester
    }  # fmt: skip
    if document:
        body["document"] = json_object(_text(Path(document)), document)
    with api(tenant) as client:
        print_fields(client.post("api/v1/policies/test", body), as_json=as_json)


def _changed(change: str) -> tuple[str, Any]:
    name, found, text = change.partition("=")
    if not found:
        raise InvalidRequest(f"{change!r} is no change", "Write FIELD=VALUE.")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
