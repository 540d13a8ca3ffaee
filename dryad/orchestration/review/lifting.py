"""Let go on what was stopped: one person stops, another lifts."""

from dryad.foundation.errors import Refused
from dryad.foundation.stops import Stop, Stops
from dryad.orchestration.review.proofs import Matter, Proofs
from dryad.orchestration.review.reviewers import Claim


class Lifting:
    """Who may lift a stop: any second reviewer; in single-user mode whoever types its scope."""

    def __init__(self, stops: Stops, proofs: Proofs) -> None:
        self._stops = stops
        self._proofs = proofs

    def lift(
        self, tenant: str, scope: str, *, reason: str, claim: Claim, typed: str, form: bool = False
    ) -> Stop:
        """Lift a stop.

        Args:
            tenant: Whose agent, tool or run it is.
            scope: What is stopped.
            reason: Why it may go on; kept.
            claim: Who lifts it. A form takes the code of `code`, nothing else.
            typed: The scope, typed again; wanted in single-user mode.
            form: Whether what was typed lies in clear on the server.

        Raises:
            InvalidRequest: the scope means nothing.
            NotFound: it is not stopped.
            Refused: nobody knows who lifts it, or it is who stopped it.
        """
        stop = self._stops.in_force(tenant, scope)
        who = self._proofs.prove(_matter(tenant, stop), claim, one_time=not form)
        if who.reviewer is None and typed != scope:
            raise Refused("to lift a stop, type its scope again", f"Confirm with exactly: {scope}")
        if who.reviewer is not None and who.asked_as(stop.set_by):
            raise Refused(f"who stopped it cannot lift it: {stop.set_by}", "Ask a second person.")
        return self._stops.lift(tenant, scope, reason=reason, by=who.label)

    def code(self, tenant: str, scope: str, claim: Claim) -> str:
        """Return the code by which a reviewer, known by a one-time code, may lift it in a form.

        Raises:
            NotFound: it is not stopped.
            Refused: the one-time code does not prove who asks, or nobody is enrolled.
        """
        return self._proofs.code(_matter(tenant, self._stops.in_force(tenant, scope)), claim)


def _matter(tenant: str, stop: Stop) -> Matter:
    return Matter("lift", tenant, f"{stop.tenant}|{stop.scope}", number=stop.id)
