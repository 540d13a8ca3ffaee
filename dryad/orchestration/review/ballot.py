"""Count what reviewers say about a case: who may speak, what it takes, and when it is decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.models import CaseRow, VoteRow
from dryad.foundation.ids import TenantId
from dryad.orchestration.review import codes
from dryad.orchestration.review.approvals import Approvals, proposal_digest
from dryad.orchestration.review.questions import proof_of
from dryad.orchestration.review.reviewers import Claim, Proven, Reviewers
from dryad.orchestration.review.verdicts import Verdict, Word


@dataclass(frozen=True)
class Said:
    """An answer that is one, whoever gave it."""

    verdict: Verdict
    """With nobody's name yet."""
    claim: Claim
    at: datetime


class Ballot:
    """Writes votes and, when they suffice, the verdict; all within the caller's transaction."""

    def __init__(
        self,
        reviewers: Reviewers,
        approvals: Approvals,
        audit: Audit,
        *,
        secret: bytes,
        valid: timedelta,
        clock: Clock = utc_now,
    ) -> None:
        self._reviewers = reviewers
        self._approvals = approvals
        self._audit = audit
        self._secret = secret
        self._valid = valid
        self._clock = clock

    def cast(self, session: Session, row: CaseRow, said: Said) -> str:
        """Count one answer to an open case.

        Returns:
            '' when it counts, else why it does not; the caller commits in both cases, for a wrong
            code was counted.
        """
        word, via = said.verdict.decision, said.verdict.via
        single_user = self._reviewers.single_user(session)
        risky = via == "ui" and proof_of(row.tier, single_user=single_user) == "decision"
        if risky and word == "edit":
            return "at this risk arguments are edited with `dryad answer --edit` or the API alone"
        who = self._reviewers.prove(
            session,
            said.claim,
            tenant=row.tenant,
            decision_code=lambda approver: self.code(row, approver, word),
            one_time=not risky,
            at=said.at,
        )
        if isinstance(who, str):
            return who
        if barred := self._barred(row, who, word):
            return barred
        if word == "edit":
            row.edited = said.verdict.edited_arguments
        proposal = proposal_digest(row)
        if session.get(VoteRow, (row.id, who.label, proposal)) is not None:
            return f"{who.label} has decided on this already; somebody else has to"
        session.add(
            VoteRow(
                case=row.id, approver=who.label, digest=proposal, decision=word,
                reason=said.verdict.reason, via=via, proof=who.proof, at=said.at,
            )
        )  # fmt: skip
        session.flush()
        self._tally(session, row, said, who)
        return ""

    def code(self, row: CaseRow, approver: str, word: Word) -> str:
        """Return the code by which `approver` may say `word` to what the case shows now."""
        return codes.decision_code(
            self._secret,
            epoch=row.epoch,
            run=row.run,
            case=row.id,
            digest=proposal_digest(row),
            approver=approver,
            decision=word,
        )

    def close(
        self, session: Session, row: CaseRow, verdict: Verdict, *, status: str = "resolved"
    ) -> None:
        """Write the verdict of a case, once and for good."""
        now = self._clock()
        row.verdict, row.status, row.closed = verdict.to_json(), status, now
        row.refusal = ""
        if verdict.allows:
            row.valid_until = now + self._valid
            row.seal = self._approvals.seal(row)
        self._audit.append(
            TenantId(row.tenant),
            "question_closed",
            actor=verdict.by,
            subject=row.task,
            data={
                "case": row.id,
                "decision": verdict.decision,
                "reason": verdict.reason,
                "via": verdict.via,
                "verified": verdict.verified,
                "digest": proposal_digest(row),
            },
            session=session,
        )

    def lapse(self, session: Session, row: CaseRow) -> None:
        """Close a case that nobody answered in time: silence is a no."""
        silence = f"nobody answered before {row.due:%Y-%m-%d %H:%M} UTC"
        at = self._clock().isoformat()
        self.close(
            session, row, Verdict("reject", silence, "dryad", "deadline", at), status="expired"
        )

    # -- inside

    def _barred(self, row: CaseRow, who: Proven, word: Word) -> str:
        """Return why this person may not say this, or ''."""
        allows = word in {"approve", "edit"}
        if who.reviewer is None:
            return self._beyond_one_user(row) if allows else ""
        if not who.reviewer.serves(row.tenant):
            return f"{who.id} does not answer for tenant {row.tenant}"
        role = row.needs["role"]
        if allows and role and role not in who.reviewer.roles:
            return f"the policy wants somebody with the role {role}; {who.id} does not have it"
        if allows and who.asked_as(row.requester):
            return f"who asked for it cannot approve it: {row.requester}"
        return ""

    @staticmethod
    def _beyond_one_user(row: CaseRow) -> str:
        """Return what an unverified yes cannot satisfy, or ''."""
        needs = row.needs
        if needs["role"] or (needs["approvers"] > 1 and not needs["raised"]):
            wanted = f"the role {needs['role']}" if needs["role"] else "two different people"
            return (
                f"the policy wants {wanted}, and nobody is known here: enrol them with "
                "`dryad reviewers add`"
            )
        return ""

    def _tally(self, session: Session, row: CaseRow, said: Said, who: Proven) -> None:
        given = said.verdict
        if given.allows:
            votes = _for(session, row)
            needed = max(1, row.needs["approvers"]) if who.reviewer else 1
            if len(votes) < needed:
                row.status, row.refusal = "in_progress", ""
                self._audit.append(
                    TenantId(row.tenant),
                    "question_voted",
                    actor=who.label,
                    subject=row.task,
                    data={"case": row.id, "decision": given.decision, "reason": given.reason},
                    session=session,
                )
                return
            verdict = _agreed(row, votes, given)
        else:
            verdict = replace(given, by=who.label)
        self.close(session, row, replace(verdict, verified=who.reviewer is not None))


def _for(session: Session, row: CaseRow) -> Sequence[VoteRow]:
    """Return who allows exactly what the case proposes now."""
    return session.scalars(
        select(VoteRow)
        .where(VoteRow.case == row.id, VoteRow.digest == proposal_digest(row))
        .where(VoteRow.decision.in_(("approve", "edit")))
        .order_by(VoteRow.at)
    ).all()


def _agreed(row: CaseRow, votes: Sequence[VoteRow], last: Verdict) -> Verdict:
    by = ", ".join(vote.approver for vote in votes)
    reason = last.reason
    if len(votes) > 1:
        reason = "; ".join(f"{vote.approver}: {vote.reason}" for vote in votes)
    made = replace(last, by=by, reason=reason)
    if row.edited is None:
        return made
    return replace(made, decision="edit", edited_arguments=row.edited)
