"""Questions to people: asked once, answered once, used once.

A case is ours; Prefect only sleeps and wakes. It is bound to the digest of exactly what would
happen. There is one verdict, written by compare-and-set; three ways lead to it: the form of the
Prefect UI, the API (with the command line), and the deadline.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import CaseRow
from dryad.foundation.errors import Conflict, InvalidRequest, Refused
from dryad.foundation.ids import RunId, TenantId
from dryad.foundation.policies import Policies
from dryad.orchestration.review import verdicts
from dryad.orchestration.review.approvals import Approvals, question_digest
from dryad.orchestration.review.ballot import Ballot, Said
from dryad.orchestration.review.opening import needs, new_case
from dryad.orchestration.review.plans import EditedPlans, shown_plan
from dryad.orchestration.review.questions import (
    Case,
    Question,
    StoredAnswers,
    editable,
    form_key,
)
from dryad.orchestration.review.reading import CaseReading
from dryad.orchestration.review.reviewers import Claim, Reviewers
from dryad.orchestration.review.upkeep import Upkeep
from dryad.orchestration.review.verdicts import Verdict, Word


class Cases(CaseReading):
    """Every question of this installation, and the one place that opens and closes them."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        answers: StoredAnswers,
        *,
        policies: Policies,
        reviewers: Reviewers,
        plans: EditedPlans,
        secret: bytes,
        epoch: str,
        deadline: timedelta = timedelta(hours=24),
        valid: timedelta = timedelta(hours=24),
        clock: Clock = utc_now,
    ) -> None:
        """Hand over the stores.

        Args:
            database: The ledger.
            audit: Where it is said who decided what.
            answers: Where answers given in forms lie.
            policies: Who must say yes.
            reviewers: Who may, and how they are known.
            plans: Reads plans that reviewers wrote.
            secret: The installation's review secret.
            epoch: The installation's epoch.
            deadline: When silence counts as no, where a question says nothing else.
            valid: How long a yes may wait to be used.
            clock: Tells the time.
        """
        super().__init__(database, reviewers)
        self._audit = audit
        self._answers = answers
        self._policies = policies
        self._plans = plans
        self._epoch = epoch
        self._deadline = deadline
        self._clock = clock
        self._approvals = Approvals(database, secret=secret, epoch=epoch, clock=clock)
        self._ballot = Ballot(
            reviewers, self._approvals, audit, secret=secret, valid=valid, clock=clock
        )
        self.spend = self._approvals.spend
        self.upkeep = Upkeep(database, self, self._ballot, hear=self._judge_stored, clock=clock)

    def settle(self, question: Question, *, deadline: timedelta | None = None) -> Case:
        """Ask, or look whether it was answered. Called by each pass of the waiting run.

        The round goes up by one on every pass that finds no verdict, so no form key is reused.
        A call that a person allowed already in this task (with its plan) is not asked again:
        the case that allowed it is returned as long as it is unused.

        Raises:
            Unavailable: the server that stores form answers is away.
            Refused: the policy allows nobody to allow this.
        """
        case_id = self._asked(question)
        if case_id is None:
            if standing := self._approvals.standing(question):
                return self.get(question.tenant, standing)
            case_id = self._opened(question, deadline or self._deadline)
        self._judge_stored(case_id)
        with self._database.transaction() as session:
            row = session.get_one(CaseRow, case_id, with_for_update=True)
            if row.verdict is None and row.due <= self._clock():
                self._ballot.lapse(session, row)
            if row.verdict is None:
                row.round += 1
            elif row.woken is None:
                row.woken = self._clock()
            return self._one(session, row)

    def answer(
        self,
        tenant: TenantId,
        case_id: int,
        *,
        decision: str,
        reason: str,
        by: Claim,
        reply: str = "",
        edited_arguments: dict[str, Any] | None = None,
    ) -> Case:
        """Answer through the API or the command line.

        A form answer that lies stored came first and counts.

        Raises:
            NotFound: the tenant has no such case.
            InvalidRequest: the answer is none; the case stays open.
            Conflict: the case was closed before, or is held since a restore.
            Refused: it is not known who answers, or they may not say this; the case stays open.
        """
        with self._database.reading() as session:
            asked = self._visible(session, tenant, case_id)
            may_edit = editable(asked)
        now = self._clock()
        verdict = verdicts.checked(
            decision,
            reason=reason,
            reply=reply,
            edited_arguments=edited_arguments,
            editable=may_edit,
            via="api",
            at=now,
        )
        verdict = self._with_plan(asked, verdict)
        self._judge_stored(case_id)
        with self._database.transaction() as session:
            row = self._still_open(session, case_id)
            refusal = self._ballot.cast(session, row, Said(verdict, by, now))
            case = self._one(session, row)
        if refusal:  # only now: a wrong code was counted, and stays counted
            raise Refused(refusal, f"Question #{case_id} stays open; `dryad inbox show {case_id}`.")
        return case

    def codes(self, tenant: TenantId, case_id: int, claim: Claim) -> dict[Word, str]:
        """Return the codes by which a reviewer, known by a one-time code, may answer in a form.

        Raises:
            NotFound: the tenant has no such case.
            Conflict: the case was closed before.
            Refused: the one-time code does not prove who asks, or nobody is enrolled.
        """
        with self._database.reading() as session:
            self._visible(session, tenant, case_id)
        with self._database.transaction() as session:
            row = self._still_open(session, case_id)
            who = self._reviewers.prove(
                session, claim, tenant=tenant, decision_code=None, one_time=True, at=self._clock()
            )
            words = () if isinstance(who, str) else verdicts.words(editable=False)
            made: dict[Word, str] = {
                word: self._ballot.code(row, claim.approver, word) for word in words
            }
        if isinstance(who, str):
            raise Refused(who)
        if who.reviewer is None:
            raise Refused(
                "nobody is enrolled, so answers need no code",
                "Enrol the first reviewer with `dryad reviewers add`.",
            )
        return made

    # -- inside

    def _with_plan(self, row: CaseRow, verdict: Verdict) -> Verdict:
        edits = verdict.edited_arguments
        if edits is None:
            return verdict
        tenant = TenantId(row.tenant)
        checked = self._plans.checked(tenant, edits, of=row.question, standing=row.edited)
        return replace(verdict, edited_arguments=checked)

    def _still_open(self, session: Session, case_id: int) -> CaseRow:
        row = session.get_one(CaseRow, case_id, with_for_update=True)
        if row.status == "held":
            raise Conflict(
                f"question #{case_id} was asked before a restore and is held",
                f"`dryad tasks release {row.task}` begins its task anew, which asks again.",
            )
        closed = f"{row.verdict['decision']} by {row.verdict['by']}" if row.verdict else ""
        if row.due <= self._clock() and not closed:  # the keeper will close it
            closed = f"nobody answered before {row.due:%Y-%m-%d %H:%M} UTC"
        if closed:
            raise Conflict(
                f"question #{case_id} was closed before: {closed}",
                f"Look at it with `dryad inbox show {case_id}`.",
            )
        return row

    def _asked(self, question: Question) -> int | None:
        with self._database.reading() as session:
            return session.scalar(self._same(question))

    def _same(self, question: Question) -> Select[tuple[int]]:
        return select(CaseRow.id).where(
            CaseRow.run == question.run,
            CaseRow.member == question.member,
            CaseRow.ordinal == question.ordinal,
            CaseRow.digest == question_digest(self._epoch, question),
        )

    def _opened(self, question: Question, deadline: timedelta) -> int:
        needed = needs(self._policies.current(question.tenant), question)
        with self._database.transaction() as session:
            lock(session, f"case:{question.run}")
            found = session.scalar(self._same(question))
            if found is not None:
                return found
            row = new_case(
                question, needed, epoch=self._epoch, now=self._clock(), deadline=deadline
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
            if row.verdict is not None or row.status == "held":
                return
            if row.round == 0 or row.judged >= row.round:
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
                    case_id,
                    stored.values,
                    editable=editable(row),
                    at=stored.created,
                    plan=shown_plan(row.question, row.edited),
                )
                verdict = self._with_plan(row, verdict)
            except InvalidRequest as refusal:
                row.refusal = refusal.message
                return
            said = Said(verdict, verdicts.claim_of(stored.values), stored.created)
            row.refusal = self._ballot.cast(session, row, said)
