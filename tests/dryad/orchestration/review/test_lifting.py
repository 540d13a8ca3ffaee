"""What one person stopped another lifts, known by a code; in single-user mode it is typed again."""

from typing import Any

import pytest

from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.stops import Stop, Stops
from dryad.orchestration.review.lifting import Lifting
from dryad.orchestration.review.reviewers import Claim
from tests.dryad.orchestration.review.conftest import ACME, BOB, World, proofs_of

SCOPE = "tool:notify"


class House:
    """A stopped tool, and who may lift that."""

    def __init__(self, world: World) -> None:
        clock = lambda: world.now  # noqa: E731
        self.world = world
        self.stops = Stops(world.database, world.audit, clock)
        self.lifting = Lifting(self.stops, proofs_of(world))
        self.stops.set(ACME, SCOPE, reason="it loops", by="key:k")

    def lift(self, claim: Claim, *, scope: str = SCOPE, typed: str = "", **more: Any) -> Stop:
        return self.lifting.lift(ACME, scope, reason="mended", claim=claim, typed=typed, **more)

    @property
    def stopped(self) -> bool:
        return bool(self.stops.list(ACME))


@pytest.fixture
def house(world: World) -> House:
    return House(world)


def test_alone_the_scope_is_typed_again(house: House):
    for typed in ("", "yes", "tool:notif"):
        with pytest.raises(Refused, match="type its scope again"):
            house.lift(BOB, typed=typed)
    assert house.lift(BOB, typed=SCOPE).lifted_by == "key:b (unverified)"
    assert not house.stopped
    assert house.world.events()[-1] == "stop_lifted"


def test_once_somebody_is_enrolled_typing_is_not_enough(house: House):
    device = house.world.enrol("ada")
    for claim in (BOB, Claim("ada", "000000", "key:b")):
        with pytest.raises(Refused):
            house.lift(claim, typed=SCOPE)
    assert house.stopped
    assert house.lift(device.claim()).lifted_by == "ada"


def test_who_stopped_it_does_not_lift_it(house: House):
    ada, bob = house.world.enrol("ada", keys=["k"]), house.world.enrol("bob")
    with pytest.raises(Refused, match="who stopped it cannot lift it"):
        house.lift(ada.claim())
    with pytest.raises(Refused, match="who stopped it cannot lift it"):
        house.lift(bob.claim(actor="key:k"))
    assert house.stopped
    assert house.lift(bob.claim()).lifted_by == "bob"


def test_a_reviewer_of_another_tenant_lifts_nothing_here(house: House):
    with pytest.raises(Refused, match="does not answer for tenant acme"):
        house.lift(house.world.enrol("eve", tenants=["globex"]).claim())
    assert house.stopped


def test_a_form_takes_the_code_of_this_lifting_and_no_other(house: House):
    world = house.world
    ada = world.enrol("ada")
    house.stops.set(ACME, "agent:analyst", reason="too", by="key:k")
    other = house.lifting.code(ACME, "agent:analyst", ada.claim())
    for code in (ada.claim().code, other, ""):
        world.now += world.now - world.now.replace(hour=0)  # past any wait for wrong codes
        with pytest.raises(Refused):
            house.lift(Claim("ada", code), form=True)
    good = house.lifting.code(ACME, SCOPE, ada.claim())
    assert house.lift(Claim("ada", good), form=True).lifted_by == "ada"
    house.stops.set(ACME, SCOPE, reason="again", by="key:k")
    world.now += world.now - world.now.replace(hour=0)
    with pytest.raises(Refused):  # it was the code of the stop before
        house.lift(Claim("ada", good), form=True)


def test_what_is_not_stopped_or_means_nothing_is_not_lifted(house: House):
    with pytest.raises(NotFound):
        house.lift(BOB, scope="tool:fetch", typed="tool:fetch")
    with pytest.raises(InvalidRequest):
        house.lift(BOB, scope="everything", typed="everything")
    with pytest.raises(Refused, match="nobody is enrolled"):
        house.lifting.code(ACME, SCOPE, BOB)
