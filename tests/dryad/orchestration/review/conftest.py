"""A ledger with one task, a clock moved by hand, reviewers with their devices, and forms."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pyotp.totp import TOTP

from dryad.execution.agents import Agents
from dryad.execution.catalogue import provision_catalogue
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.database.models import TaskRow
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.policies import Policies
from dryad.foundation.tenants import DEFAULT, Tenants
from dryad.foundation.tools import Tools
from dryad.orchestration.review.cases import Cases
from dryad.orchestration.review.plans import EditedPlans
from dryad.orchestration.review.proofs import Proofs
from dryad.orchestration.review.questions import Case, Question
from dryad.orchestration.review.reviewers import Claim, Reviewers

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
BOB = Claim(actor="key:b")
SECRET = b"r" * 32
CALL = {"tool": "notify", "version": "1", "arguments": {"to": "ops", "message": "hello"}}


@dataclass(frozen=True)
class Sent:
    values: dict[str, Any]
    created: datetime


@dataclass
class Forms:
    """The forms somebody filled in, as the server keeps them."""

    sent: dict[str, Sent] = field(default_factory=dict)

    def stored_answer(self, run: RunId, key: str) -> Sent | None:
        return self.sent.get(f"{run}/{key}")


class World:
    """A ledger with one task, a clock that is moved by hand, and the forms people sent."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.now = datetime(2026, 5, 1, 12, tzinfo=UTC)
        self.database, self.forms = database, Forms()
        clock = lambda: self.now  # noqa: E731
        tenants = Tenants(database, clock=clock)
        tenants.create(DEFAULT, "Default")
        tenants.create(ACME, "Acme")
        tenants.create(GLOBEX, "Globex")
        with database.transaction() as session:
            session.add(
                TaskRow(
                    id="task_1", tenant=ACME, text="x", context={}, agent="", budget={},
                    requester="key:k", idempotency_key="k", request_digest="d", status="running",
                    reason="", created=self.now, updated=self.now,
                )
            )  # fmt: skip
        self.audit = Audit(database, b"k" * 32, directory / "anchor", clock=clock)
        self.policies = Policies(database, self.audit, clock=clock)
        self.reviewers = Reviewers(database, self.audit, secret=SECRET, clock=clock)
        self.agents, self.tools = Agents(database), Tools(database, audit=self.audit)
        provision_catalogue(ACME, tools=self.tools, agents=self.agents)
        self.cases = self.of_epoch("epoch-1")

    def of_epoch(self, epoch: str) -> Cases:
        return Cases(
            self.database,
            self.audit,
            self.forms,
            policies=self.policies,
            reviewers=self.reviewers,
            plans=EditedPlans(self.agents, self.tools),
            secret=SECRET,
            epoch=epoch,
            clock=lambda: self.now,
        )

    def enrol(self, name: str, **more: Any) -> "Device":
        """Enrol a reviewer and scan the code with their device."""
        return Device(self, name, self.reviewers.add(name, by="test", **more).uri)

    def fill_in(self, key: str, **values: Any) -> None:
        """Send the form `key` of the run, as the Prefect UI would."""
        fields = {"reason": "looks right", "reply": "", "approver": "", **values}
        self.forms.sent[f"run-1/{key}"] = Sent(fields, self.now)

    def events(self) -> list[str]:
        return [row["event"] for row in self.audit.export(ACME)]


class Device:
    """The authenticator of one reviewer, on the world's clock."""

    def __init__(self, world: World, name: str, uri: str) -> None:
        self.world, self.name = world, name
        self.seed = parse_qs(urlsplit(uri).query)["secret"][0]

    def code(self, *, later: float = 0) -> str:
        """Return the code the device shows, or will show, `later` seconds from now."""
        return TOTP(self.seed).at(int(self.world.now.timestamp() + later))

    def claim(self, *, actor: str = "key:b") -> Claim:
        """Say who this is, with the code of a step that was never used."""
        self.world.now += timedelta(seconds=30)
        return Claim(self.name, self.code(), actor)

    def answer(self, case: Case, decision: str, **more: Any) -> Case:
        """Answer as the API does."""
        by = more.pop("by", None) or self.claim()
        given = {"reason": f"{self.name} says so", "by": by, **more}
        return self.world.cases.answer(ACME, case.id, decision=decision, **given)

    def codes(self, case: Case) -> dict[Any, str]:
        """Ask the authenticated inbox for the decision codes."""
        return self.world.cases.codes(ACME, case.id, self.claim())


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


QUESTION = Question(
    tenant=ACME,
    task=TaskId("task_1"),
    run=RunId("run-1"),
    member="messenger-1",
    ordinal=1,
    kind="approval",
    tier="external",
    requester="key:k",
    title="May this be sent?",
    why="policy asks from tier external upward",
    action="notify 1",
    call=CALL,
)


def proofs_of(world: World, epoch: str = "e") -> Proofs:
    return Proofs(
        world.database, world.reviewers, secret=SECRET, epoch=epoch, clock=lambda: world.now
    )
