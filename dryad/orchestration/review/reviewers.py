"""Who may answer, and how it is known that it was them.

Until the first reviewer is enrolled an installation is in *single-user mode*: whoever reaches it
answers, and everything they say is marked unverified. The first enrolment ends that for good.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from dryad.foundation.approval_rules import UNVERIFIED
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import InstallationRow, ReviewerRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import checked_name
from dryad.foundation.logs import get_logger
from dryad.foundation.tenants import DEFAULT
from dryad.orchestration.review import codes

Status = Literal["active", "suspended"]
Proof = Literal["none", "one-time", "decision"]

ALL = "*"
"""Stands for every tenant."""

SINGLE_USER_AGAIN = "everybody may approve again"
"""What an operator types to go back to single-user mode."""

_FACT = "reviewers"

log = get_logger("review")


@dataclass(frozen=True)
class Patience:
    """How wrong codes are slowed: attempts are never numbered, only made to wait."""

    free: int = 3
    """Wrong codes in a row that cost no time."""
    first: timedelta = timedelta(seconds=5)
    """What the next one costs; each one after it costs twice as much."""
    most: timedelta = timedelta(minutes=15)
    alarm: int = 5
    """An alarm is raised at every so many in a row."""

    def after(self, failures: int) -> timedelta:
        """Return how long a reviewer waits after so many wrong codes in a row."""
        if failures < self.free:
            return timedelta(0)
        doublings = min(failures - self.free, 30)
        return min(self.most, self.first * 2**doublings)


@dataclass(frozen=True)
class Reviewer:
    """A person who may answer; their seed is never shown again."""

    id: str
    name: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...]
    keys: tuple[str, ...]
    status: Status
    failures: int
    wait_until: datetime | None
    created_by: str
    created: datetime

    def serves(self, tenant: str) -> bool:
        """Whether the tenant's questions are theirs to answer."""
        return ALL in self.tenants or tenant in self.tenants


@dataclass(frozen=True)
class Enrolment:
    """A reviewer just enrolled; `uri` holds the seed and is seen this once."""

    reviewer: Reviewer
    uri: str

    def __repr__(self) -> str:
        return f"Enrolment({self.reviewer.id!r})"


@dataclass(frozen=True)
class Claim:
    """What somebody who answers says about themselves."""

    approver: str = ""
    """Their id as a reviewer; in single-user mode any name."""
    code: str = ""
    actor: str = ""
    """`key:<id>` of the authenticated caller; '' in a form."""


@dataclass(frozen=True)
class Proven:
    """Who it was, as far as it is known."""

    id: str
    proof: Proof
    reviewer: Reviewer | None
    """None in single-user mode: nobody knows who it was."""
    actor: str = ""

    @property
    def label(self) -> str:
        """How the record names them."""
        known = self.reviewer is not None or self.id == UNVERIFIED
        return self.id if known else f"{self.id} (unverified)"

    def asked_as(self, requester: str) -> bool:
        """Whether this is who asked for the task, as far as it can be known."""
        keys = {f"key:{key}" for key in self.reviewer.keys} if self.reviewer else set[str]()
        return requester in keys | {self.actor, self.id}


class Reviewers:
    """Enrol people, and recognise them by their codes."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        *,
        secret: bytes,
        patience: Patience = Patience(),
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._audit = audit
        self._secret = secret
        self._patience = patience
        self._clock = clock

    def add(
        self,
        id: str,  # noqa: A002 - the word of the domain
        *,
        name: str = "",
        roles: Collection[str] = (),
        tenants: Collection[str] = (ALL,),
        keys: Collection[str] = (),
        by: str,
    ) -> Enrolment:
        """Enrol a person; the first one ends single-user mode for good.

        Args:
            id: How they call themselves when they answer.
            name: For people.
            roles: What policies may ask for.
            tenants: Whose questions are theirs to answer.
            keys: Ids of the API keys they work with: what was asked with one they never approve.
            by: Who enrols them.

        Raises:
            InvalidRequest: a name is none, or no tenant is given.
            Conflict: there is a reviewer of that id.
        """
        checked_name(id, what="a reviewer's id")
        for role in roles:
            checked_name(role, what="a role")
        if not tenants:
            raise InvalidRequest("a reviewer needs a tenant, or * for all")
        seed = codes.new_seed()
        with self._database.transaction() as session:
            lock(session, "reviewers")
            if session.get(ReviewerRow, id) is not None:
                raise Conflict(f"there is a reviewer {id!r}", f"`dryad reviewers renew {id}`")
            row = ReviewerRow(
                id=id, name=name.strip() or id, roles=sorted(roles), tenants=sorted(tenants),
                keys=sorted(keys), seed=codes.seal(self._secret, id, seed), last_step=0,
                failures=0, wait_until=None, status="active", created_by=by,
                created=self._clock(),
            )  # fmt: skip
            session.add(row)
            first = self._end_single_user(session, id)
            self._say(session, "reviewer_enrolled", by, id, roles=row.roles, tenants=row.tenants)
            if first:
                self._say(session, "single_user_mode_ended", by, id)
            return Enrolment(_reviewer(row), codes.enrolment_uri(id, seed))

    def renew(self, id: str, *, by: str) -> Enrolment:  # noqa: A002 - the word of the domain
        """Give a reviewer a new seed; codes of the old one count no longer.

        Raises:
            NotFound: there is none of that id.
        """
        seed = codes.new_seed()
        with self._database.transaction() as session:
            row = _row(session, id)
            row.seed, row.last_step = codes.seal(self._secret, id, seed), 0
            row.failures, row.wait_until = 0, None
            self._say(session, "reviewer_renewed", by, id)
            return Enrolment(_reviewer(row), codes.enrolment_uri(id, seed))

    def set_status(self, id: str, status: Status, *, by: str) -> Reviewer:  # noqa: A002
        """Let a reviewer answer (`active`) or not (`suspended`).

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.transaction() as session:
            row = _row(session, id)
            row.status = status
            self._say(session, "reviewer_status_changed", by, id, status=status)
            return _reviewer(row)

    def list(self) -> list[Reviewer]:
        """Return every reviewer, by id."""
        with self._database.reading() as session:
            return [
                _reviewer(row)
                for row in session.scalars(select(ReviewerRow).order_by(ReviewerRow.id))
            ]

    def get(self, id: str) -> Reviewer:  # noqa: A002 - the word of the domain
        """Return one reviewer.

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.reading() as session:
            return _reviewer(_row(session, id))

    def single_user(self, session: Session | None = None) -> bool:
        """Whether nobody was ever enrolled, so that everybody who answers is unverified."""
        if session is not None:
            row = session.get(InstallationRow, _FACT)
            return row is None or not row.value["enrolled"]
        with self._database.reading() as own:
            return self.single_user(own)

    def return_to_single_user(self, *, by: str, typed: str) -> None:
        """Suspend every reviewer and let everybody answer again, unverified; on record.

        Only a person at the machine can: no route leads here.

        Raises:
            Refused: the sentence was not typed.
        """
        if typed != SINGLE_USER_AGAIN:
            raise Refused(
                "single-user mode comes back only when it is asked for in so many words",
                f"Type: {SINGLE_USER_AGAIN}",
            )
        with self._database.transaction() as session:
            lock(session, "reviewers")
            for row in session.scalars(select(ReviewerRow)):
                row.status = "suspended"
            fact = session.get(InstallationRow, _FACT)
            if fact is not None:
                fact.value, fact.updated = {"enrolled": ""}, self._clock()
            self._say(session, "single_user_mode_again", by, "reviewers")

    def prove(
        self,
        session: Session,
        claim: Claim,
        *,
        tenant: str,
        decision_code: Callable[[str], str] | None,
        one_time: bool,
        at: datetime,
    ) -> Proven | str:
        """Find out who somebody is, inside the caller's transaction.

        A wrong code is counted there, so the caller must commit also when it is refused.

        Args:
            session: The caller's transaction.
            claim: Who they say they are, and their code.
            tenant: On whose record a wrong code stands.
            decision_code: Makes the one right code of a decision for an approver; None: none is.
            one_time: Whether a one-time code is enough.
            at: When the code was given.

        Returns:
            Who it was, or why that is not known.
        """
        if self.single_user(session):
            return Proven(claim.approver or claim.actor or UNVERIFIED, "none", None, claim.actor)
        if not claim.approver:
            return "say who you are: your id as a reviewer, and your code"
        row = session.get(ReviewerRow, claim.approver, with_for_update=True)
        if row is None or row.status != "active":
            log.warning("unknown_reviewer", tenant=tenant, reviewer=claim.approver[:64])
            return f"{claim.approver[:64]!r} is no reviewer of this installation"
        if row.wait_until is not None and at < row.wait_until:
            return f"too many wrong codes: try again after {row.wait_until:%H:%M:%S} UTC"
        proof = self._check(row, claim.code, decision_code, one_time=one_time, at=at)
        if proof is None:
            return self._failed(session, row, tenant, one_time=one_time, at=at)
        row.failures, row.wait_until = 0, None
        return Proven(row.id, proof, _reviewer(row), claim.actor)

    # -- inside

    def _check(
        self,
        row: ReviewerRow,
        code: str,
        decision_code: Callable[[str], str] | None,
        *,
        one_time: bool,
        at: datetime,
    ) -> Proof | None:
        if decision_code is not None and codes.same_code(decision_code(row.id), code):
            return "decision"
        if not one_time:
            return None
        step = codes.one_time_step(codes.unseal(self._secret, row.id, row.seed), code, at)
        if step is None or step <= row.last_step:
            return None
        row.last_step = step
        return "one-time"

    def _failed(
        self, session: Session, row: ReviewerRow, tenant: str, *, one_time: bool, at: datetime
    ) -> str:
        row.failures += 1
        wait = self._patience.after(row.failures)
        row.wait_until = at + wait if wait else None
        told: dict[str, Any] = {"failures": row.failures, "wait_seconds": int(wait.total_seconds())}
        event = "reviewer_code_refused"
        if row.failures % self._patience.alarm == 0:
            event = "reviewer_alarm"
            log.warning(event, tenant=tenant, reviewer=row.id, **told)
        self._audit.append(
            tenant, event, actor=row.id, subject=row.id, data=told, session=session
        )  # fmt: skip
        wanted = "a new one-time code" if one_time else "the decision code of exactly this answer"
        delay = f"; the next is looked at in {int(wait.total_seconds())} s" if wait else ""
        return f"the code does not prove it: {wanted} is needed{delay}"

    def _end_single_user(self, session: Session, first: str) -> bool:
        if not self.single_user(session):
            return False
        fact = session.get(InstallationRow, _FACT)
        if fact is None:
            fact = InstallationRow(key=_FACT)
            session.add(fact)
        fact.value, fact.updated = {"enrolled": first}, self._clock()
        return True

    def _say(self, session: Session, event: str, by: str, subject: str, **data: Any) -> None:
        self._audit.append(DEFAULT, event, actor=by, subject=subject, data=data, session=session)


def _row(session: Session, reviewer: str) -> ReviewerRow:
    row = session.get(ReviewerRow, reviewer, with_for_update=True)
    if row is None:
        raise NotFound(f"no reviewer {reviewer[:64]!r}", "`dryad reviewers list` shows them.")
    return row


def _reviewer(row: ReviewerRow) -> Reviewer:
    return Reviewer(
        id=row.id,
        name=row.name,
        roles=tuple(row.roles),
        tenants=tuple(row.tenants),
        keys=tuple(row.keys),
        status=row.status,  # pyright: ignore[reportArgumentType] - the CHECK constraint holds it
        failures=row.failures,
        wait_until=row.wait_until,
        created_by=row.created_by,
        created=row.created,
    )
