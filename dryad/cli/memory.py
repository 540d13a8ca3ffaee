"""`dryad memory`: give agents something to find and cite, and look at what there is."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import orjson
import typer

from dryad.cli.client import Api, api
from dryad.cli.output import (
    Json,
    Tenant,
    group,
    print_fields,
    print_json,
    print_rows,
    print_text,
    say,
    talkative,
)
from dryad.cli.tasks import json_object
from dryad.execution.memories import Document, Shelved
from dryad.execution.outside import Outside
from dryad.execution.sandbox.port import SandboxRequest, SandboxResult
from dryad.foundation.environment import load
from dryad.foundation.errors import InvalidRequest, Unavailable
from dryad.foundation.ids import TenantId

if TYPE_CHECKING:
    from dryad.memory.parsing.parsers import Parsers

app = group("What agents can find and cite.")


@app.command()
def ingest(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, and directories with all below them.")
    ],
    *,
    category: Annotated[str, typer.Option()] = "documents",
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Its words may be believed; needs the scope admin.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Read files into long-term memory; done again, it changes nothing."""
    from dryad.memory.ingest import Ingestion  # noqa: PLC0415 - numpy behind it
    from dryad.memory.sources import ANYWHERE, Source, batches, survey  # noqa: PLC0415

    provenance = "trusted" if trusted else "untrusted"
    if any(path.parts[0] in {"http:", "https:"} for path in paths):
        raise InvalidRequest(
            "addresses are not read from here",
            "Run `ingest-documents/on-demand` with them; it reads the hosts in DRYAD_INGEST_HOSTS.",
        )
    sources = [Source(str(p.absolute()), category, provenance, name=p.name) for p in paths]
    # A path that is not there is told before anything is read.
    surveys = [survey(source, ANYWHERE) for source in sources]
    outcomes = [skipped for found in surveys for skipped in found.skipped]
    total = len(outcomes) + sum(len(found.candidates) for found in surveys)
    with api(tenant) as client:
        ingestion = Ingestion(RemoteShelf(client), _parsers(), Outside(), ANYWHERE)
        for source, found in zip(sources, surveys, strict=True):
            for batch in batches(found.candidates):
                outcomes += asyncio.run(ingestion.ingest(TenantId(tenant), source, batch))
                if talkative():
                    say(f"{len(outcomes)} of {total}")
    rows = [asdict(outcome) for outcome in sorted(outcomes, key=lambda outcome: outcome.path)]
    print_rows(rows, ("path", "outcome", "passages", "reason"), as_json=as_json)
    if all(row["outcome"] == "skipped" for row in rows):
        say("nothing was read")
        raise typer.Exit(1)


@app.command()
def search(
    query: str,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 5,
    category: Annotated[str, typer.Option()] = "",
    since: Annotated[str, typer.Option(help="Kept at this time or later, in ISO 8601.")] = "",
    until: Annotated[str, typer.Option(help="Kept before this time.")] = "",
    details: Annotated[
        str, typer.Option(help="JSON: names and values that details must have.")
    ] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Find passages that answer the query, best first."""
    filters = {"category": category, "since": since, "until": until, "details": details}
    with api(tenant) as client:
        answer = client.get("api/v1/memory/search", q=query, limit=limit, **filters)
    say(f"found by {answer['searched_by']}")
    if answer["degraded"]:
        say(f"degraded, the ledger answers: {answer['degraded']}")
    if as_json:
        print_json(answer["items"])
        return
    for passage in answer["items"]:
        where = f"{passage['origin']} [{passage['start']}, {passage['stop']})"
        parts = ", ".join(f"{name} {part:.2f}" for name, part in passage["parts"].items())
        print_text(f"{passage['score']:.2f}  {passage['title']} · {passage['section']}  {where}")
        print_text(f"      {passage['provenance']} · {parts}")
        print_text(f"      {' '.join(passage['text'].split())[:300]}\n")


@app.command("list")
def list_documents(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    after: Annotated[str, typer.Option(help="The last document of the page before.")] = "",
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List documents, oldest first."""
    with api(tenant) as client:
        found = client.items("api/v1/memory/documents", limit=limit, after=after)
    print_rows(found, ("id", "title", "category", "provenance", "origin"), as_json=as_json)


@app.command()
def show(document: str, *, tenant: Tenant = "", as_json: Json = False) -> None:
    """Show one document, and how it stands to others."""
    path = f"api/v1/memory/documents/{document}"
    with api(tenant) as client:
        found = {**client.get(path), "relations": client.items(f"{path}/relations")}
    if as_json:
        print_json(found)
        return
    passages, relations = found.pop("passages"), found.pop("relations")
    print_fields(found, as_json=False)
    for one in relations:
        print_text(f"{one['source']} {one['kind']} {one['target']} ({one['confidence']:.2f})")
    for _, _, text in passages:
        print_text(f"\n{text}")


@app.command()
def forget(
    document: Annotated[str, typer.Argument(help="A document, if it is one.")] = "",
    *,
    value: Annotated[str, typer.Option(help="A short-term value, as AGENT/KEY.")] = "",
    subject: Annotated[
        str, typer.Option(help="Whom or what to forget wherever memory names it.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what naming --subject would erase.")
    ] = False,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Remove a document, a value, or everything that names a subject, for good."""
    if [bool(document), bool(value), bool(subject)].count(True) != 1:
        raise InvalidRequest(
            "name a document, a --value or a --subject", "See `dryad memory forget --help`."
        )
    with api(tenant) as client:
        if not subject:
            client.delete(f"api/v1/memory/{_place(document, value)}")
            say(f"{document or value} is gone; backups made earlier still hold it")
            return
        asked = {"subject": subject, "reason": reason or "not said", "dry_run": dry_run}
        erased = client.post("api/v1/memory/erasures", asked)
    print_fields(erased, as_json=as_json)


@app.command()
def values(
    agent: Annotated[str, typer.Argument(help="An agent; leave it out for all.")] = "",
    *,
    pattern: Annotated[str, typer.Option(help="A key; `*` stands for any characters.")] = "*",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """List what agents remember for a short time, and until when."""
    with api(tenant) as client:
        found = client.items("api/v1/memory/values", agent=agent, pattern=pattern, limit=limit)
    print_rows(found, ("agent", "key", "expires", "provenance", "value"), as_json=as_json)


@app.command()
def policy(
    document: Annotated[
        Path | None, typer.Argument(help="A JSON file to put in force; else show it.")
    ] = None,
    *,
    tenant: Tenant = "",
    as_json: Json = False,
) -> None:
    """Show or set what agents may do with memory, what may come in and how long it stays."""
    with api(tenant) as client:
        if document is None:
            print_fields(client.get("api/v1/memory/policy"), as_json=as_json)
            return
        wanted = json_object(document.read_text(), str(document))
        version = client.put("api/v1/memory/policy", wanted)["version"]
    say(f"version {version} is in force")


@app.command()
def export(*, tenant: Tenant = "") -> None:
    """Write every document with its passages, as JSON lines."""
    with api(tenant) as client:
        after = ""
        while True:
            page = client.get("api/v1/memory/documents", limit=1000, after=after)
            for one in page["items"]:
                shown = client.get(f"api/v1/memory/documents/{one['id']}")
                print_text(orjson.dumps(shown).decode())
            after = page["next"] or ""
            if not after:
                return


@app.command()
def mirrors(*, as_json: Json = False) -> None:
    """List the mirrors of memory in Redis and Chroma, and why one is not read."""
    with api() as client:
        found = client.items("api/v1/memory/mirrors")
    print_rows(found, ("server", "generation", "waiting", "trouble"), as_json=as_json)


@app.command()
def rebuild(server: Annotated[str, typer.Argument(help="redis or chroma")]) -> None:
    """Make a mirror anew from the ledger, which answers meanwhile."""
    with api() as client:
        client.post(f"api/v1/memory/mirrors/{server}/rebuild", {})
    say(f"the keeper makes another copy in {server}; `dryad memory mirrors` shows when it is read")


@app.command()
def check(*, as_json: Json = False) -> None:
    """Compare every mirror with the ledger, row by row, and mend what differs."""
    with api() as client:
        servers = [mirror["server"] for mirror in client.items("api/v1/memory/mirrors")]
        if not servers:
            say("memory is embedded: there is no mirror that could differ")
        found: list[dict[str, Any]] = []
        away: list[Unavailable] = []
        for server in servers:  # one that is away keeps no other from being looked at
            try:
                found.append(client.post(f"api/v1/memory/mirrors/{server}/check", {}))
            except Unavailable as reason:
                away.append(reason)
    print_rows(found, ("server", "checked", "missing", "extra", "stale"), as_json=as_json)
    if away:
        raise away[0]


def _place(document: str, value: str) -> str:
    if document:
        return f"documents/{document}"
    agent, _, key = value.partition("/")
    if not agent or not key:
        raise InvalidRequest(f"{value!r} names no value", "Say AGENT/KEY, as `values` lists them.")
    return f"values/{agent}/{quote(key, safe='')}"


def _parsers() -> "Parsers":
    """Return parsers that run in a sandbox of this machine, found when the first is needed."""
    from dryad.adapters import choose_sandbox  # noqa: PLC0415 - everything hangs on it
    from dryad.memory.parsing.parsers import Parsers  # noqa: PLC0415

    settings, _ = load()

    async def run(code: str, files: Mapping[str, bytes]) -> SandboxResult:
        return await choose_sandbox(settings).run(SandboxRequest(code=code, files=files))

    return Parsers(run)


class RemoteShelf:
    """The Librarian's shelf, reached through the API."""

    def __init__(self, client: Api) -> None:
        self._client = client

    def shelve_all(
        self,
        tenant: TenantId,  # noqa: ARG002 - the key or `--tenant` says whose it is
        documents: Sequence[Document],
        *,
        replace: bool = False,
    ) -> list[Shelved]:
        """Send each document."""
        answers = [
            self._client.post(
                "api/v1/memory/documents",
                {**asdict(document), "agent": document.agent or None, "replace": replace},
            )
            for document in documents
        ]
        return [Shelved(**answer) for answer in answers]
