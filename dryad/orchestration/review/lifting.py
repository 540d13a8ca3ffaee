"""Let go on what was stopped: one person stops, another lifts."""

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused
from dryad.foundation.stops import Stop, Stops
from dryad.orchestration.review import codes
from dryad.orchestration.review.reviewers import Claim, Proven, Reviewers

_WORD = "lift"


class Lifting:
    """Who may lift a stop: any second reviewer; in single-user mode whoever types its scope."""

    def __init__(
        self,
        database: Database,
        stops: Stops,
        reviewers: Reviewers,
        *,
        secret: bytes,
        epoch: str,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._stops = stops
        self._reviewers = reviewers
        self._secret = secret
        self._epoch = epoch
        self._clock = clock

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
        who = self._prove(tenant, stop, claim, one_time=not form)
        if who.reviewer is None and typed != scope:
            raise Refused("to lift a stop, type its scope again", f"Confirm with exactly: {scope}")
        if who.reviewer is not None and not who.reviewer.serves(tenant):
            raise Refused(f"{who.id} does not answer for tenant {tenant}")
        if who.reviewer is not None and who.asked_as(stop.set_by):
            raise Refused(f"who stopped it cannot lift it: {stop.set_by}", "Ask a second person.")
        return self._stops.lift(tenant, scope, reason=reason, by=who.label)

    def code(self, tenant: str, scope: str, claim: Claim) -> str:
        """Return the code by which a reviewer, known by a one-time code, may lift it in a form.

        Raises:
            NotFound: it is not stopped.
            Refused: the one-time code does not prove who asks, or nobody is enrolled.
        """
        stop = self._stops.in_force(tenant, scope)
        who = self._prove(tenant, stop, claim, one_time=True)
        if who.reviewer is None:
            raise Refused("nobody is enrolled, so lifting needs no code")
        return self._code(stop, who.id)

    def _prove(self, tenant: str, stop: Stop, claim: Claim, *, one_time: bool) -> Proven:
        with self._database.transaction() as session:
            who = self._reviewers.prove(
                session,
                claim,
                tenant=tenant,
                decision_code=lambda approver: self._code(stop, approver),
                one_time=one_time,
                at=self._clock(),
            )
        if isinstance(who, str):  # only now: a wrong code was counted
            raise Refused(who)
        return who

    def _code(self, stop: Stop, approver: str) -> str:
        return codes.decision_code(
            self._secret,
            epoch=self._epoch,
            run="",
            case=stop.id,
            digest=f"{stop.tenant}|{stop.scope}",
            approver=approver,
            decision=_WORD,
        )
