"""A tenant with the built-in catalogue, and everything an agent needs to work for it."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from dryad.execution.agent_loop import advance
from dryad.execution.agents import Agents
from dryad.execution.catalogue import provision_catalogue
from dryad.execution.episodes import (
    Asks,
    Done,
    Episode,
    Verdict,
    end_from_json,
    episode_from_json,
    to_json,
)
from dryad.execution.memories import Document, Shelved
from dryad.execution.models.language import Language
from dryad.execution.models.providers import ModelChoice, Models
from dryad.execution.steps import Approval, Lapsed, RunSteps
from dryad.execution.toolbox import Errand, GrantedTools, Toolbox
from dryad.foundation.approval_rules import Act, Requirement
from dryad.foundation.database import Database
from dryad.foundation.database.models import TenantRow
from dryad.foundation.errors import Refused
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.journal import Journal
from dryad.foundation.policies import PolicyDocument
from dryad.foundation.tool_history import ToolHistory
from dryad.foundation.tools import Tier, Tools
from tests.web import Server, accept, serve

ACME = TenantId("acme")
RUN = RunId("run-1")


@dataclass(frozen=True)
class Hit:
    """A passage somebody put on the shelf."""

    text: str
    document: str = "doc-1"
    title: str = "Handbook"
    section: str = "Intro"
    start: int = 0
    stop: int = 100
    origin: str = "handbook.md"
    provenance: str = "trusted"


@dataclass
class Shelf:
    """A search over a few passages: those that share a word with the query."""

    hits: list[Hit] = field(default_factory=list)

    def find(
        self, tenant: TenantId, agent: str, query: str, limit: int, *, category: str | None = None
    ) -> Sequence[Hit]:
        assert (tenant, bool(agent)) == (ACME, True)
        words = set(query.lower().split())
        return [hit for hit in self.hits if words & set(hit.text.lower().split())][:limit]

    def shelve(self, tenant: TenantId, document: Document, /) -> Shelved:
        assert tenant == ACME
        known = [hit for hit in self.hits if hit.text == document.text]
        if not known:
            name = f"doc-{len(self.hits) + 1}"
            self.hits.append(Hit(document.text, name, provenance=document.provenance))
        same = known[0].document if known else None
        return Shelved(same or self.hits[-1].document, 1, same)


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    violations: tuple[str, ...] = ()


async def run_here(code: str, files: Mapping[str, bytes], /) -> Ran:
    """Run a program in a process of its own; what it prints is real, the walls are not."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).write_bytes(content)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", code,
            cwd=place, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        there = [path for path in Path(place).rglob("*") if path.is_file()]
        found = {path.relative_to(place).as_posix(): path.read_bytes() for path in there}
    made = {name: content for name, content in found.items() if content != files.get(name)}
    gone = frozenset(files.keys() - found.keys())
    return Ran(process.returncode or 0, out.decode(), err.decode(), made, gone)


@dataclass
class Policy:
    """A policy whose tier a test changes as it goes."""

    approval_tier: Tier = "external"
    version: int = 0
    untrusted_needs: str = "approval"
    secret_providers: tuple[str, ...] = ()

    def judge(self, act: Act) -> Requirement:
        return PolicyDocument(approval_tier=self.approval_tier).judge(act)


@dataclass
class Spent:
    """Approvals that were used; a second use of one is refused."""

    approvals: dict[int, Approval] = field(default_factory=dict)
    lapsed: set[int] = field(default_factory=set)

    def __call__(self, session: Session, approval: Approval) -> None:
        if approval.case in self.lapsed:
            raise Lapsed("too old")
        if approval.case in self.approvals:
            raise Refused(f"case {approval.case} was used")
        self.approvals[approval.case] = approval


@dataclass
class Desk:
    """One tenant's agents at work."""

    database: Database
    tools: Tools
    agents: Agents
    toolbox: Toolbox
    shelf: Shelf
    workspaces: Path
    policy: Policy = field(default_factory=Policy)
    spent: Spent = field(default_factory=Spent)
    heard_by: frozenset[str] = frozenset()
    """The model providers that what is read gets to."""
    moments: int = 0
    """Commits of the last attempt, counted before and after."""

    def caller(self, agent: str) -> GrantedTools:
        errand = Errand(ACME, TaskId("task-1"), agent)
        role = self.agents.get(ACME, agent).role
        return GrantedTools(
            self.tools,
            self.toolbox,
            errand,
            policy=lambda: self.policy,
            heard_by=lambda: self.heard_by,
            role=role,
        )

    def steps(self, run: RunId = RUN) -> RunSteps:
        """Take the run over, as a new process would."""
        journal = Journal(self.database)
        note = self.history.noting(Errand(ACME, TaskId("task-1"), "messenger"))
        return RunSteps(journal, journal.claim(run, holder="test"), spend=self.spent, note=note)

    @property
    def history(self) -> ToolHistory:
        return ToolHistory(self.database)

    def recorded(self, run: RunId = RUN) -> list[str]:
        steps = Journal(self.database).steps(run)
        return [f"{step.path}#{step.ordinal} {step.state}" for step in steps]


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Desk:
    with database.transaction() as session:
        created = datetime(2026, 1, 1, tzinfo=UTC)
        session.add(TenantRow(id=ACME, name=ACME, status="active", created=created))
    tools, agents, shelf = Tools(database), Agents(database), Shelf()
    provision_catalogue(ACME, tools=tools, agents=agents)
    workspaces = tmp_path / "workspaces"
    toolbox = Toolbox(
        find=shelf.find,
        shelve=shelf.shelve,
        run_code=run_here,
        workspaces=workspaces,
        mailbox=workspaces / "mailbox",
    )
    return Desk(database, tools, agents, toolbox, shelf, workspaces)


@pytest.fixture
def offline() -> Language:
    return Models(ModelChoice()).model_for(ACME)


def talking_to(url: str, **more: Any) -> Language:
    """Return a model behind an OpenAI-compatible server."""
    choice = ModelChoice(
        **{"provider": "openai", "openai_base_url": url, "model": "test-model", "price": "1,2"}
        | more
    )
    return Models(choice).model_for(ACME)


def episode(prompt: str, member: str = "researcher", **more: Any) -> Episode:
    """Return a first episode."""
    values: dict[str, Any] = {"run": RUN, "number": 1, "instructions": "Be exact.", **more}
    return Episode(member=member, prompt=prompt, **values)


HELLO = "Say hello to ops."
LETTER = {"to": "ops", "message": "hello"}


@pytest.fixture
def outside(desk: Desk) -> Generator[Server]:
    """The receiver of notifications: what arrives here really happened."""
    with serve(accept()) as server:
        desk.tools.configure(ACME, "notify", "1", {"url": server.url})
        yield server


async def go(desk: Desk, model: Language, what: Episode | None = None, **more: Any) -> Done | Asks:
    what = what or episode(HELLO, "messenger")
    return await advance(
        what, model=model, tools=desk.caller("messenger"), steps=desk.steps(), **more
    )


async def asked(desk: Desk, model: Language) -> Asks:
    asks = await go(desk, model)
    assert isinstance(asks, Asks)
    return asks


def after(asks: Asks, verdict: Verdict, number: int = 2) -> Episode:
    """Return the next episode, as another process would read it from JSON."""
    stored = json.dumps(to_json(asks))
    read = end_from_json(json.loads(stored))
    assert read == asks
    verdicts = {question.call_id: verdict for question in read.progress.pending}
    following = episode("", "messenger", number=number, progress=read.progress, verdicts=verdicts)
    return episode_from_json(json.loads(json.dumps(to_json(following))))


def told(server: Server) -> list[Any]:
    """Return what the model was told by tools, in its last request."""
    messages = server.received[-1].body["messages"]
    return [message["content"] for message in messages if message["role"] == "tool"]


async def done_by(desk: Desk, model: Language, what: Episode) -> Done:
    """Return the end of an episode in which nobody had to be asked."""
    end = await go(desk, model, what)
    assert isinstance(end, Done)
    return end
