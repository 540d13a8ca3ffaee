"""What the validation of level 3 proves on a running installation."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from pyotp.totp import TOTP
from sqlalchemy import delete, select

from dryad.execution.steps import Approval
from dryad.foundation.clock import Clock
from dryad.foundation.database import Database
from dryad.foundation.database.models import CaseRow, ReviewerRow, TaskRow, VoteRow
from dryad.foundation.errors import Refused
from dryad.foundation.ids import new_id
from dryad.foundation.policies import Policies
from dryad.foundation.validation import AGENT, TENANT, Check
from dryad.orchestration.hybrid import HybridOrchestrator
from dryad.orchestration.review.cases import Cases
from dryad.orchestration.review.questions import Question
from dryad.orchestration.review.reviewers import Claim, Reviewers
from dryad.orchestration.standing import Task, task_of

_TOOL, _VERSION = "validation-effect", "1"
_STEP = timedelta(seconds=30)
"""A one-time code is good for so long, and only once."""

_REQUESTS = {
    "sequential": "What happens to a task when its flow run is suspended?",
    "task_force": "Summarise the backup policy, summarise the threat model, and summarise the "
    "glossary, each in three sentences.",
    "escalation": "Notify the operators that the maintenance window begins at 18:00.",
}


@dataclass(frozen=True)
class OrchestrationGate:
    """The checks of level 3."""

    database: Database
    orchestrator: HybridOrchestrator
    policies: Policies
    reviewers: Reviewers
    cases: Cases
    clock: Clock

    def checks(self) -> list[Check]:
        """Return them."""
        return [
            Check("each kind of request goes its way", self._routed, "dryad decisions"),
            Check("a rejected approval prevents the action", self._prevented, "dryad inbox"),
        ]

    def _routed(self) -> str:
        task = task_of(self._row())
        for route, text in _REQUESTS.items():
            found = self.orchestrator.consider(replace(task, text=text)).route
            if found != route:
                return f"{text!r} goes to {found}, not to {route}"
        return ""

    def _prevented(self) -> str:
        """A rejected call cannot be made; an approved one can, once: the refusal is what counts."""
        with self._task() as task, self._reviewer() as (name, seed):
            rejected = self._answered(task, 1, "reject", self._claim(name, seed, 0))
            if self._made(rejected, "step-1"):
                return "a call was made that a person had rejected"
            approved = self._answered(task, 2, "approve", self._claim(name, seed, 1))
            if not self._made(approved, "step-2"):
                return "a call was refused that a person had approved"
            if self._made(approved, "step-3"):
                return "one approval was good for two calls"
        return ""

    def _answered(self, task: Task, ordinal: int, word: str, by: Claim) -> Approval:
        assert task.run is not None
        question = Question(
            tenant=TENANT, task=task.id, run=task.run, member=AGENT, ordinal=ordinal,
            kind="approval", tier="reversible", requester=AGENT, title="Validation",
            why="the validation of level 3 asks, and answers itself",
            action=f"nothing, for the {ordinal}. time",
            call={"tool": _TOOL, "version": _VERSION, "arguments": {}},
            policy_version=self.policies.current(TENANT).version, agent=AGENT,
        )  # fmt: skip
        case = self.cases.settle(question)
        self.cases.answer(TENANT, case.id, decision=word, reason="validation", by=by)
        return Approval(
            case=case.id, step="", tool=_TOOL, version=_VERSION, arguments={},
            policy_version=question.policy_version, run=task.run,
        )  # fmt: skip

    def _made(self, approval: Approval, step: str) -> bool:
        """Whether a call gets past the place where its approval is spent."""
        spent = replace(approval, step=step)
        try:
            with self.database.transaction() as session:
                self.cases.spend(session, spent)
        except Refused:
            return False
        return True

    def _claim(self, name: str, seed: str, steps: int) -> Claim:
        if not seed:
            return Claim(name, "", f"key:{name}")
        return Claim(name, TOTP(seed).at(self.clock() + steps * _STEP), f"key:{name}")

    @contextmanager
    def _reviewer(self) -> Generator[tuple[str, str]]:
        """Enrol somebody who may answer for this tenant alone, and strike them off again.

        In single-user mode nobody is enrolled: the first reviewer would end it for good.
        """
        name = f"validation-{secrets.token_hex(4)}"
        if self.reviewers.single_user():
            yield name, ""
            return
        uri = self.reviewers.add(name, tenants=[TENANT], by=AGENT).uri
        try:
            yield name, parse_qs(urlsplit(uri).query)["secret"][0]
        finally:
            with self.database.transaction() as session:
                session.execute(delete(ReviewerRow).where(ReviewerRow.id == name))

    @contextmanager
    def _task(self) -> Generator[Task]:
        """A task that nobody starts, taken away with all that hangs on it."""
        row = self._row()
        with self.database.transaction() as session:
            session.add(row)
        try:
            yield task_of(row)
        finally:
            with self.database.transaction() as session:
                cases = select(CaseRow.id).where(CaseRow.task == row.id)
                session.execute(delete(VoteRow).where(VoteRow.case.in_(cases)))
                session.execute(delete(CaseRow).where(CaseRow.task == row.id))
                session.execute(delete(TaskRow).where(TaskRow.id == row.id))

    def _row(self) -> TaskRow:
        now, name = self.clock(), new_id("task")
        return TaskRow(
            id=name, tenant=TENANT, text="validation", context={}, agent="", budget={},
            requester=AGENT, idempotency_key=name, request_digest="", status="held",
            reason="made by the validation", run=str(uuid4()), tokens=0, cost_usd=0.0,
            created=now, updated=now,
        )  # fmt: skip
