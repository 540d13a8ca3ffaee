"""Who may let a set replace everything: in the form of the Prefect UI, by a code for that run."""

from dryad.foundation.tenants import DEFAULT
from dryad.orchestration.review.proofs import Matter, Proofs
from dryad.orchestration.review.reviewers import Claim


class Consents:
    """Any reviewer of the first tenant; in single-user mode whoever fills in the form."""

    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs

    def need_code(self) -> bool:
        """Whether reviewers are enrolled, so that one of them has to say it."""
        return self._proofs.needed()

    def give(self, run: str, set_id: str, claim: Claim) -> str:
        """Return who consents that a run replaces everything by a set.

        Raises:
            Refused: the code of `code` does not prove who it is.
        """
        return self._proofs.prove(_matter(run, set_id), claim, one_time=False).label

    def code(self, run: str, set_id: str, claim: Claim) -> str:
        """Return the code by which a reviewer may consent in the form; raises as `Proofs.code`."""
        return self._proofs.code(_matter(run, set_id), claim)


def _matter(run: str, set_id: str) -> Matter:
    return Matter("restore", DEFAULT, set_id, run=run)
