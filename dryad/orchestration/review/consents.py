"""Who may let a set replace everything: in the form of the Prefect UI, by a code for that run."""

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused
from dryad.foundation.tenants import DEFAULT
from dryad.orchestration.review import codes
from dryad.orchestration.review.reviewers import Claim, Proven, Reviewers

_WORD = "restore"


class Consents:
    """Any reviewer of the first tenant; in single-user mode whoever fills in the form."""

    def __init__(
        self,
        database: Database,
        reviewers: Reviewers,
        *,
        secret: bytes,
        epoch: str,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._reviewers = reviewers
        self._secret = secret
        self._epoch = epoch
        self._clock = clock

    def need_code(self) -> bool:
        """Whether reviewers are enrolled, so that one of them has to say it."""
        return not self._reviewers.single_user()

    def give(self, run: str, set_id: str, claim: Claim) -> str:
        """Return who consents that a run replaces everything by a set.

        Raises:
            Refused: the code of `code` does not prove who it is.
        """
        return self._prove(run, set_id, claim, one_time=False).label

    def code(self, run: str, set_id: str, claim: Claim) -> str:
        """Return the code by which a reviewer, known by a one-time code, may consent in the form.

        Raises:
            Refused: the one-time code does not prove who asks, or nobody is enrolled.
        """
        who = self._prove(run, set_id, claim, one_time=True)
        if who.reviewer is None:
            raise Refused("nobody is enrolled, so a restore needs no code")
        return self._code(run, set_id, who.id)

    def _prove(self, run: str, set_id: str, claim: Claim, *, one_time: bool) -> Proven:
        with self._database.transaction() as session:
            who = self._reviewers.prove(
                session,
                claim,
                tenant=DEFAULT,
                decision_code=lambda approver: self._code(run, set_id, approver),
                one_time=one_time,
                at=self._clock(),
            )
        if isinstance(who, str):  # only now: a wrong code was counted
            raise Refused(who)
        if who.reviewer is not None and not who.reviewer.serves(DEFAULT):
            raise Refused(f"{who.id} does not answer for tenant {DEFAULT}")
        return who

    def _code(self, run: str, set_id: str, approver: str) -> str:
        return codes.decision_code(
            self._secret,
            epoch=self._epoch,
            run=run,
            case=0,
            digest=set_id,
            approver=approver,
            decision=_WORD,
        )
