"""Who says that something may be which is no question: known by a code for exactly that."""

from dataclasses import dataclass

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused
from dryad.orchestration.review import codes
from dryad.orchestration.review.reviewers import Claim, Proven, Reviewers


@dataclass(frozen=True)
class Matter:
    """What is decided; a code is good for one, in one word, and for nothing else."""

    word: str
    tenant: str
    """Whose reviewers decide it."""
    digest: str
    run: str = ""
    number: int = 0


class Proofs:
    """Codes of the enrolled reviewers; in single-user mode nobody has one."""

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

    def needed(self) -> bool:
        """Whether reviewers are enrolled, so that one of them has to say it."""
        return not self._reviewers.single_user()

    def prove(self, matter: Matter, claim: Claim, *, one_time: bool) -> Proven:
        """Find out who decides a matter.

        Args:
            matter: What is decided.
            claim: Who they say they are, and their code.
            one_time: Whether a one-time code is enough; a form takes the code of `code` alone.

        Raises:
            Refused: the code does not prove who it is, or they do not answer for the tenant.
        """
        with self._database.transaction() as session:
            who = self._reviewers.prove(
                session,
                claim,
                tenant=matter.tenant,
                decision_code=lambda approver: self._code(matter, approver),
                one_time=one_time,
                at=self._clock(),
            )
        if isinstance(who, str):  # only now: a wrong code was counted
            raise Refused(who)
        if who.reviewer is not None and not who.reviewer.serves(matter.tenant):
            raise Refused(f"{who.id} does not answer for tenant {matter.tenant}")
        return who

    def code(self, matter: Matter, claim: Claim) -> str:
        """Return the code by which a reviewer, known by a one-time code, decides it in a form.

        Raises:
            Refused: the one-time code does not prove who asks, or nobody is enrolled.
        """
        who = self.prove(matter, claim, one_time=True)
        if who.reviewer is None:
            raise Refused(f"nobody is enrolled, so to {matter.word} needs no code")
        return self._code(matter, who.id)

    def _code(self, matter: Matter, approver: str) -> str:
        return codes.decision_code(
            self._secret,
            epoch=self._epoch,
            run=matter.run,
            case=matter.number,
            digest=matter.digest,
            approver=approver,
            decision=matter.word,
        )
