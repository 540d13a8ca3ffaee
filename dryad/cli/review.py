"""`dryad inbox` and `dryad answer`: what people are asked, and their answers."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dryad.cli.client import Api, api
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
)
from dryad.cli.signing import Approver, Code, signed
from dryad.cli.tasks import json_object, read_object
from dryad.foundation.errors import InvalidRequest, Unavailable

app = group("Questions to people.")
inbox = group("List the questions that wait for a person.", ListGroup)
app.add_typer(inbox, name="inbox")

_COLUMNS = ("id", "tenant", "kind", "tier", "due", "title", "task")
_AGAIN_SECONDS = 2.0
Everywhere = Annotated[bool, typer.Option("--everywhere", help="Of every tenant.")]


@inbox.command("list")
def list_open(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on and tell what comes.")] = False,
    everywhere: Everywhere = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List what waits for an answer, oldest first."""
    with api(tenant) as client:
        if watch:
            _watch(client, everywhere=everywhere, as_json=as_json)
            return
        found = client.items("api/v1/consultations", everywhere=everywhere)
    print_rows(found, _COLUMNS, as_json=as_json)
    if found and not as_json:
        say(f"read one with `dryad inbox show {found[0]['id']}`")


@inbox.command()
def show(case: int, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Show the page to decide from."""
    with api(tenant) as client:
        found = client.get(f"api/v1/consultations/{case}")
    if as_json:
        print_json(found)
        return
    print_text(found["brief"])
    if found["verdict"]:
        verdict = found["verdict"]
        print_text(f"\nclosed: {verdict['decision']} by {verdict['by']}: {verdict['reason']}")
    else:
        say(f"answer with `dryad answer {case} --approve --reason '…'`, or --reject")
        if found["plan"]:
            say(
                f"to edit the plan: `dryad inbox plan {case} > plan.json`, change it, then "
                f"`dryad answer {case} --edit @plan.json --reason '…'`"
            )


@inbox.command()
def plan(case: int, *, tenant: Tenant = "") -> None:
    """Print the plan a question is about, as `dryad answer --edit @FILE` takes it."""
    with api(tenant) as client:
        found = client.get(f"api/v1/consultations/{case}")
    if found["plan"] is None:
        raise InvalidRequest(f"question #{case} is about a call, not about a plan")
    print_json({"steps": found["plan"]})


@inbox.command("say")
def say_about(
    case: int,
    text: Annotated[str, typer.Argument(help="For reviewers and, with the answer, the agent.")],
    *,
    tenant: Tenant = "",
) -> None:
    """Say something about an open question; it allows nothing."""
    with api(tenant) as client:
        client.post(f"api/v1/consultations/{case}/messages", {"text": text})
    say(f"it stands in the brief; decide with `dryad answer {case}`")


@inbox.command()
def codes(
    case: int, *, approver: Approver, code: Code = "", tenant: Tenant = "", as_json: Json = False
) -> None:
    """Show the decision codes by which you may answer in the form, exactly as it stands now."""
    with api(tenant) as client:
        found = client.post(f"api/v1/consultations/{case}/codes", signed(approver, code))
    print_fields(found["codes"], as_json=as_json)


@app.command()
def answer(
    case: int,
    *,
    approve: Annotated[bool, typer.Option("--approve", help="Exactly this, once.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Prevent it.")] = False,
    edit: Annotated[
        str,
        typer.Option(help="Do it with these arguments, or this plan: a JSON object, or @FILE."),
    ] = "",
    reply: Annotated[str, typer.Option(help="Answer in words without allowing it.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    approver: Approver = "",
    code: Code = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Answer a question, once and for good.

    Once reviewers are enrolled, an answer counts only with --as and a code of that person.
    """
    chosen = {"approve": approve, "reject": reject, "edit": bool(edit), "reply": bool(reply)}
    words = [word for word, given in chosen.items() if given]
    if len(words) != 1:
        raise InvalidRequest("give exactly one of --approve, --reject, --edit, --reply")
    if not reason.strip():
        raise InvalidRequest("a reason is needed, in a few words", "Add --reason '…'.")
    body: dict[str, Any] = {"decision": words[0], "reason": reason, "reply": reply}
    if edit:
        body["edited_arguments"] = (
            read_object(Path(edit[1:])) if edit.startswith("@") else json_object(edit, "--edit")
        )
    body |= signed(approver, code)
    with api(tenant) as client:
        found = client.post(f"api/v1/consultations/{case}/answer", body)
    if as_json:
        print_json(found)
    else:
        open_still = "" if found["verdict"] else "; another reviewer has to agree"
        say(
            f"question #{case}: {words[0]}{open_still}; follow it with `dryad tasks show "
            f"{found['task']}`"
        )


def _watch(client: Api, *, everywhere: bool, as_json: bool) -> None:
    """Print each event as it comes, until interrupted; a stream that breaks is opened anew."""
    known: set[int] = set()
    last, followed = "", False
    while True:
        name = ""
        path = "api/v1/consultations/events"
        try:
            for line in client.lines(path, last_id=last, everywhere=everywhere):
                if not followed:
                    say("following the inbox; interrupt ends it")
                followed = True
                if line.startswith("id: "):
                    last = line.removeprefix("id: ")
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    _tell(name, json.loads(line.removeprefix("data: ")), known, as_json=as_json)
        except Unavailable as lost:
            if not followed:
                raise
            say(f"{lost.message}; trying again")
            time.sleep(_AGAIN_SECONDS)


def _tell(name: str, data: Any, known: set[int], *, as_json: bool) -> None:
    number: int = data["id"] if name == "opened" else data
    if (name == "opened") == (number in known):
        return  # told before the stream was opened anew
    known ^= {number}
    if as_json:
        print_text(json.dumps({"event": name, "case": data}))
    elif name == "opened":
        print_text(f"#{number}  {data['kind']}  due {data['due']}  {data['title']}")
    else:
        print_text(f"#{number}  closed")
