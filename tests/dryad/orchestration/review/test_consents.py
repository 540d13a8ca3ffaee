"""A set replaces everything when a known person says so, in the form of that one run."""

from datetime import timedelta

import pytest

from dryad.foundation.errors import Refused
from dryad.orchestration.review.consents import Consents
from dryad.orchestration.review.reviewers import Claim
from tests.dryad.orchestration.review.conftest import BOB, World, proofs_of

SET, RUN = "20251013-020000-1f3c", "run-1"
PAUSE = timedelta(hours=1)


def consents_of(world: World, epoch: str = "e") -> Consents:
    return Consents(proofs_of(world, epoch))


def test_alone_whoever_fills_in_the_form_consents_and_is_called_unverified(world: World):
    consents = consents_of(world)
    assert not consents.need_code()
    assert consents.give(RUN, SET, Claim("Ada")) == "Ada (unverified)"
    with pytest.raises(Refused, match="needs no code"):
        consents.code(RUN, SET, BOB)


def test_once_somebody_is_enrolled_only_the_code_of_that_run_and_set_counts(world: World):
    ada, _ = world.enrol("ada", tenants=("default",)), world.enrol("bob", tenants=("default",))
    consents = consents_of(world)
    assert consents.need_code()
    code = consents.code(RUN, SET, ada.claim())
    for run, chosen, who in (("run-2", SET, "ada"), (RUN, "20251014", "ada"), (RUN, SET, "bob")):
        with pytest.raises(Refused):
            consents.give(run, chosen, Claim(who, code))
        world.now += PAUSE
    with pytest.raises(Refused):
        consents_of(world, "after a restore").give(RUN, SET, Claim("ada", code))
    world.now += PAUSE
    with pytest.raises(Refused, match="say who you are"):
        consents.give(RUN, SET, Claim("", code))
    with pytest.raises(Refused, match="no reviewer"):
        consents.give(RUN, SET, Claim("eve", code))
    assert consents.give(RUN, SET, Claim("ada", code)) == "ada"


def test_a_one_time_code_is_none_in_the_form(world: World):
    """It lies there in clear, and would be good for something else."""
    ada = world.enrol("ada", tenants=("default",))
    with pytest.raises(Refused):
        consents_of(world).give(RUN, SET, ada.claim())


def test_a_reviewer_of_another_tenant_does_not_consent(world: World):
    eve = world.enrol("eve", tenants=("elsewhere",))
    with pytest.raises(Refused, match="does not answer for tenant default"):
        consents_of(world).code(RUN, SET, eve.claim())
