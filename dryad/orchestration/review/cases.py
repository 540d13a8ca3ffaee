"""Questions to people: asked once, answered once, used once.

A case is ours; Prefect only sleeps and wakes. It is bound to the digest of exactly what would
happen. There is one verdict, written by compare-and-set; three ways lead to it: the form of the
Prefect UI, the API (with the command line), and the deadline.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from dryad.execution.steps import Approval
from dryad.foundation.audit import Audit
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import CaseRow, TaskRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.review import verdicts
from dryad.orchestration.review.questions import (
    OPEN,
    Case,
    Question,
    StoredAnswers,
    case_of,
    editable,
    form_key,
)
from dryad.orchestration.review.verdicts import Verdict
from dryad.orchestration.standing import ENDS


class Cases:
    """Every question of this installation, and the one place that writes a verdict."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        answers: StoredAnswers,
        *,
        epoch: str,
        deadline: timedelta = timedelta(hours=24),
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._audit = audit
        self._answers = answers
        self._epoch = epoch
        self._deadline = deadline
        self._clock = clock

    def digest(self, question: Question) -> str:
        """Return the digest an approval is bound to: what would happen, where, for whom."""
        return digest(
            [
                self._epoch,
                question.tenant,
                question.task,
                question.member,
                question.action,
                question.call,
                question.policy_version,
            ]
        )

    def settle(self, question: Question, *, deadline: timedelta | None = None) -> Case:
        """Ask, or look whether it was answered. Called by each pass of the waiting run.

        The round goes up by one on every pass that finds no verdict, so no form key is reused.
        A call that a person allowed already in this task (with its plan) is not asked again:
        the case that allowed it is returned as long as it is unused.

        Raises:
            Unavailable: the server that stores form answers is away.
        """
        case_id = self._asked(question)
        if case_id is None:
            if standing := self._standing(question):
                return standing
            case_id = self._opened(question, deadline or self._deadline)
        self._judge_stored(case_id)
        with self._database.transaction() as session:
            row = session.get_one(CaseRow, case_id, with_for_update=True)
            if row.verdict is None and row.due <= self._clock():
                self._expire(row, session)
            if row.verdict is None:
                row.round += 1
            elif row.woken is None:
                row.woken = self._clock()
            return case_of(row)

    def get(self, tenant: TenantId, case_id: int) -> Case:
        """Return one case.

        Raises:
            NotFound: the tenant has no such case.
        """
        with self._database.reading() as session:
            return case_of(self._visible(session, tenant, case_id))

    def open(self, tenant: TenantId | None, *, limit: int = 100) -> list[Case]:
        """Return the cases that wait for an answer, oldest first; `None` is for operators only."""
        query = select(CaseRow).where(CaseRow.status.in_(OPEN))
        if tenant is not None:
            query = query.where(CaseRow.tenant == tenant)
        return self._found(query.order_by(CaseRow.created, CaseRow.id).limit(limit))

    def of_task(self, tenant: TenantId, task: TaskId) -> list[Case]:
        """Return everything that was asked for one task, oldest first."""
        query = select(CaseRow).where(CaseRow.tenant == tenant, CaseRow.task == task)
        return self._found(query.order_by(CaseRow.id))

    def answer(
        self,
        tenant: TenantId,
        case_id: int,
        *,
        decision: str,
        reason: str,
        by: str,
        reply: str = "",
        edited_arguments: dict[str, Any] | None = None,
    ) -> Case:
        """Answer through the API or the command line.

        A form answer that lies stored came first and counts.

        Raises:
            NotFound: the tenant has no such case.
            InvalidRequest: the answer is none; the case stays open.
            Conflict: the case was closed before.
        """
        with self._database.reading() as session:
            may_edit = editable(self._visible(session, tenant, case_id))
        verdict = verdicts.checked(
            decision,
            reason=reason,
            reply=reply,
            edited_arguments=edited_arguments,
            editable=may_edit,
            by=by,
            via="api",
            at=self._clock(),
        )
        self._judge_stored(case_id)
        with self._database.transaction() as session:
            row = session.get_one(CaseRow, case_id, with_for_update=True)
            if row.verdict is None and row.due <= self._clock():
                self._expire(row, session)
            if row.verdict is not None:
                raise Conflict(
                    f"question #{case_id} was closed before: {row.verdict['decision']} by "
                    f"{row.verdict['by']}",
                    "Look at it with `dryad inbox show`.",
                )
            self._close(row, verdict, session)
            return case_of(row)

    def expire(self, *, limit: int = 200) -> list[Case]:
        """Close what is past its deadline as rejected; judge what lies stored first."""
        with self._database.reading() as session:
            late = session.scalars(
                select(CaseRow.id)
                .where(CaseRow.status.in_(OPEN), CaseRow.due <= self._clock())
                .order_by(CaseRow.due)
                .limit(limit)
            ).all()
        closed: list[Case] = []
        for case_id in late:
            self._judge_stored(case_id)
            with self._database.transaction() as session:
                row = session.get_one(CaseRow, case_id, with_for_update=True)
                if row.verdict is None:
                    self._expire(row, session)
                closed.append(case_of(row))
        return closed

    def awaiting_wake(self, *, limit: int = 200) -> list[Case]:
        """Return closed cases whose run was not yet seen to go on."""
        return self._found(
            select(CaseRow)
            .where(CaseRow.closed.is_not(None), CaseRow.woken.is_(None))
            .where(CaseRow.status != "cancelled")
            .order_by(CaseRow.closed)
            .limit(limit)
        )

    def woken(self, case_id: int) -> None:
        """Note that the run has gone on, or will never."""
        with self._database.transaction() as session:
            session.execute(
                update(CaseRow)
                .where(CaseRow.id == case_id, CaseRow.woken.is_(None))
                .values(woken=self._clock())
            )

    def cancel(self, task: TaskId, *, reason: str) -> None:
        """Close every open case of a task that will not go on."""
        with self._database.transaction() as session:
            for row in session.scalars(
                select(CaseRow).where(CaseRow.task == task, CaseRow.status.in_(OPEN))
            ):
                row.status, row.closed, row.refusal = "cancelled", self._clock(), reason
                row.verdict = Verdict(
                    "reject", reason, "dryad", "deadline", self._clock().isoformat()
                ).to_json()
                self._audit_closed(row, session)

    def forsaken(self) -> list[TaskId]:
        """Return ended tasks about which something is still asked: who ended them was killed."""
        query = (
            select(CaseRow.task)
            .join(TaskRow, TaskRow.id == CaseRow.task)
            .where(CaseRow.status.in_(OPEN), TaskRow.status.in_(ENDS))
            .distinct()
        )
        with self._database.reading() as session:
            return [TaskId(task) for task in session.scalars(query)]

    def spend(self, session: Session, approval: Approval) -> None:
        """Use an approval, inside the transaction that records the intent of its call.

        The same step may come again after a crash; no other ever can.

        Raises:
            Refused: it was not approved, is used, or was given for another call.
        """
        row = session.get(CaseRow, approval.case, with_for_update=True)
        wanted = canonical_json(
            {
                "tool": approval.tool,
                "version": approval.version,
                "arguments": dict(approval.arguments),
            }
        )
        if row is None or row.epoch != self._epoch or wanted not in {
            canonical_json(known) for known in _approved_calls(row)
        }:  # fmt: skip
            raise Refused(f"question #{approval.case} does not approve this call")
        if row.used_by not in {None, approval.step}:
            raise Refused(f"the approval of question #{approval.case} was used before")
        row.used_by = approval.step

    # -- inside

    def _found(self, query: Select[tuple[CaseRow]]) -> list[Case]:
        with self._database.reading() as session:
            return [case_of(row) for row in session.scalars(query)]

    def _standing(self, question: Question) -> Case | None:
        if question.call is None or question.kind != "approval":
            return None
        asked = canonical_json(question.call)
        for case in self._found(
            select(CaseRow).where(CaseRow.task == question.task, CaseRow.used_by.is_(None))
        ):
            with self._database.reading() as session:
                row = session.get_one(CaseRow, case.id)
                if _approved_calls(row) and canonical_json(row.question["call"]) == asked:
                    return case
        return None

    def _asked(self, question: Question) -> int | None:
        with self._database.reading() as session:
            return session.scalar(self._same(question))

    def _same(self, question: Question) -> Select[tuple[int]]:
        return select(CaseRow.id).where(
            CaseRow.run == question.run,
            CaseRow.member == question.member,
            CaseRow.ordinal == question.ordinal,
            CaseRow.digest == self.digest(question),
        )

    def _opened(self, question: Question, deadline: timedelta) -> int:
        wanted, now = self.digest(question), self._clock()
        with self._database.transaction() as session:
            lock(session, f"case:{question.run}")
            found = session.scalar(self._same(question))
            if found is not None:
                return found
            row = CaseRow(
                tenant=question.tenant,
                task=question.task,
                run=question.run,
                member=question.member,
                ordinal=question.ordinal,
                digest=wanted,
                epoch=self._epoch,
                kind=question.kind,
                tier=question.tier,
                question={
                    "title": question.title,
                    "why": question.why,
                    "action": question.action,
                    "call": question.call,
                    "origin": question.origin,
                    "limits": question.limits,
                },
                requester=question.requester,
                status="pending",
                round=0,
                judged=0,
                refusal="",
                created=now,
                due=now + deadline,
            )
            session.add(row)
            session.flush()
            self._audit.append(
                question.tenant,
                "question_opened",
                actor=question.member,
                subject=question.task,
                data={"case": row.id, "kind": row.kind, "tier": row.tier, "digest": row.digest},
                session=session,
            )
            return row.id

    def _judge_stored(self, case_id: int) -> None:
        """Judge the answer that lies stored for the round now open, at most once."""
        with self._database.reading() as session:
            row = session.get_one(CaseRow, case_id)
            if row.verdict is not None or row.round == 0 or row.judged >= row.round:
                return
            run, asked = RunId(row.run), row.round
        stored = self._answers.stored_answer(run, form_key(case_id, asked))
        if stored is None:
            return
        with self._database.transaction() as session:
            row = session.get_one(CaseRow, case_id, with_for_update=True)
            if row.verdict is not None or row.judged >= asked:
                return
            row.judged = asked
            if stored.created >= row.due:
                return  # too late: the deadline closes the case
            try:
                verdict = verdicts.from_form(
                    case_id, stored.values, editable=editable(row), at=stored.created
                )
            except InvalidRequest as refusal:
                row.refusal = refusal.message
                return
            self._close(row, verdict, session)

    def _expire(self, row: CaseRow, session: Session) -> None:
        silence = f"nobody answered before {row.due:%Y-%m-%d %H:%M} UTC"
        at = self._clock().isoformat()
        self._close(row, Verdict("reject", silence, "dryad", "deadline", at), session)
        row.status = "expired"

    def _close(self, row: CaseRow, verdict: Verdict, session: Session) -> None:
        row.verdict, row.status, row.closed = verdict.to_json(), "resolved", self._clock()
        row.refusal = ""
        self._audit_closed(row, session)

    def _audit_closed(self, row: CaseRow, session: Session) -> None:
        verdict = row.verdict or {}
        self._audit.append(
            TenantId(row.tenant),
            "question_closed",
            actor=str(verdict["by"]),
            subject=row.task,
            data={
                "case": row.id,
                "decision": verdict["decision"],
                "reason": verdict["reason"],
                "via": verdict["via"],
                "digest": row.digest,
            },
            session=session,
        )

    @staticmethod
    def _visible(session: Session, tenant: TenantId, case_id: int) -> CaseRow:
        row = session.get(CaseRow, case_id)
        if row is None or row.tenant != tenant:
            raise NotFound(f"no question #{case_id}")
        return row

    def count_open(self) -> int:
        """Return how many questions wait, over all tenants."""
        with self._database.reading() as session:
            query = select(func.count()).select_from(CaseRow).where(CaseRow.status.in_(OPEN))
            return session.execute(query).scalar_one()


def _approved_calls(row: CaseRow) -> list[dict[str, Any]]:
    """Return the calls a person allowed by this case, exactly as they may be made."""
    verdict, call = row.verdict or {}, row.question.get("call")
    if call is None or verdict.get("decision") not in {"approve", "edit"}:
        return []
    if verdict["decision"] == "edit":
        return [{**call, "arguments": verdict["edited_arguments"]}]
    return [call]
