"""A task force: who sits in it speaks in order, and only while it is active."""

import threading
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dryad.foundation.database import Database
from dryad.foundation.errors import Conflict, LimitExceeded, NotFound, Refused
from dryad.foundation.ids import TaskId
from dryad.orchestration.decision import Seat
from dryad.orchestration.task_force import COORDINATOR, ForceStatus, TaskForces, roles
from tests.dryad.orchestration.conftest import ACME, House

SEATS = (Seat("researcher-1", "researcher", ("s1",)), Seat("analyst-2", "analyst", ("s2",)))
MOVES: tuple[ForceStatus, ...] = ("active", "paused", "resolved", "failed")
ALLOWED = {
    ("active", "paused"), ("active", "resolved"), ("active", "failed"), ("paused", "active"),
    ("paused", "failed"),
}  # fmt: skip


def gather(house: House) -> tuple[TaskId, str]:
    task = house.submit("Explain leases; calculate 2 + 3.").id
    return task, house.forces.assemble(
        ACME, task, "both", SEATS, roles={"researcher-1": "research"}
    )


def test_members_sit_with_their_roles_beside_a_coordinator(house: House):
    task, force = gather(house)
    assert house.forces.assemble(ACME, task, "again", SEATS, roles={}) == force
    found = house.forces.of_task(task)
    assert found is not None
    assert found["objective"] == "both"
    assert {m["member"]: m["role"] for m in found["members"]} == {
        "coordinator": "coordinator", "researcher-1": "research", "analyst-2": "analyst",
    }  # fmt: skip


def test_who_joins_later_sits_beside_the_others(house: House):
    task, force = gather(house)
    joined = Seat("researcher-1-again", "analyst", ("s1",))
    assert house.forces.assemble(ACME, task, "both", (*SEATS, joined), roles={}) == force
    found = house.forces.of_task(task)
    assert found is not None
    assert len(found["members"]) == 4
    house.forces.fail(task)
    with pytest.raises(Refused, match="nobody joins"):
        house.forces.assemble(ACME, task, "", (Seat("x", "x", ()),), roles={})


def test_only_members_speak_and_nobody_after_the_end(house: House):
    task, force = gather(house)
    with pytest.raises(Refused, match="not a member"):
        house.forces.post(force, "stranger", "proposal", {})
    house.forces.become(force, "paused")
    with pytest.raises(Refused, match="paused"):
        house.forces.post(force, "analyst-2", "proposal", {})
    house.forces.become(force, "active")
    house.forces.resolve(task, {"members": ["analyst-2"]})
    with pytest.raises(Refused, match="resolved"):
        house.forces.post(force, "analyst-2", "proposal", {})
    found = house.forces.of_task(task)
    assert found is not None
    assert (found["status"], found["result"]) == ("resolved", {"members": ["analyst-2"]})
    assert [m["kind"] for m in found["messages"]] == ["agreement"]
    with pytest.raises(NotFound):
        house.forces.post("force_none", "analyst-2", "proposal", {})


def test_a_turn_is_told_once_however_often_it_is_replayed(house: House):
    task, force = gather(house)
    for _ in range(3):
        house.forces.say(task, "analyst-2", "proposal", {"text": "5"}, turn="end")
    house.forces.say(task, "analyst-2", "refinement", {"text": "5"}, turn="end")
    house.forces.say(TaskId("task_none"), "analyst-2", "proposal", {}, turn="end")
    assert [m.kind for m in house.forces.messages(force)] == ["proposal", "refinement"]


def test_many_who_speak_at_once_are_numbered_without_a_gap(house: House):
    _, force = gather(house)

    def speak(member: str) -> None:
        for number in range(5):
            house.forces.post(force, member, "proposal", {"n": number})

    threads = [threading.Thread(target=speak, args=(seat.member,)) for seat in SEATS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = house.forces.messages(force)
    assert [message.sequence for message in said] == list(range(1, 11))
    assert all(a.created <= b.created for a, b in pairwise(said))
    for seat in SEATS:
        assert [m.content["n"] for m in said if m.member == seat.member] == list(range(5))


def test_a_force_says_only_so_much(house: House, database: Database):
    _, force = gather(house)
    brief = TaskForces(database, most_messages=2)
    for _ in range(2):
        brief.post(force, "analyst-2", "proposal", {})
    with pytest.raises(LimitExceeded, match="at most 2"):
        brief.post(force, "analyst-2", "proposal", {})
    assert len(house.forces.messages(force)) == 2


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(MOVES), max_size=6))
def test_a_force_goes_only_where_it_may(house: House, moves: list[ForceStatus]):
    _, force = gather(house)
    now: ForceStatus = "active"
    for wanted in moves:
        if wanted == now or (now, wanted) in ALLOWED:
            house.forces.become(force, wanted)
            now = wanted
        else:
            with pytest.raises(Conflict, match=f"{now} and cannot become {wanted}"):
                house.forces.become(force, wanted)


SPEAKERS = (*(seat.member for seat in SEATS), COORDINATOR, "stranger")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from((*SPEAKERS, *SPEAKERS, *MOVES)), max_size=25))
def test_messages_are_those_of_members_while_it_was_active_in_the_order_they_spoke(
    house: House, events: list[str]
):
    _, force = gather(house)
    now, told = "active", list[tuple[str, int]]()
    for place, event in enumerate(events):
        if event in MOVES:
            if (now, event) in ALLOWED:
                house.forces.become(force, event)  # type: ignore[arg-type]
                now = event
        elif event == "stranger" or now != "active":
            with pytest.raises(Refused):
                house.forces.post(force, event, "proposal", {"place": place})
        else:
            assert house.forces.post(force, event, "proposal", {"place": place}) == len(told) + 1
            told.append((event, place))
    said = house.forces.messages(force)
    assert [(one.member, one.content["place"]) for one in said] == told
    assert [one.sequence for one in said] == list(range(1, len(told) + 1))


def test_it_pauses_and_goes_on_as_one_and_a_task_without_one_needs_nothing(house: House):
    task, _ = gather(house)
    for waits, status in ((True, "paused"), (True, "paused"), (False, "active")):
        house.forces.pause(task, waits=waits)
        found = house.forces.of_task(task)
        assert found is not None
        assert found["status"] == status
    house.forces.fail(task)
    house.forces.pause(task, waits=True)
    other = house.submit("Explain stops.").id
    house.forces.pause(other, waits=True)
    house.forces.resolve(other, {})
    house.forces.fail(other)
    assert house.forces.of_task(other) is None


def test_whoever_waits_for_several_joins_what_they_found(house: House):
    decision = house.decide("Describe leases. Calculate 2 + 3. Then combine both into one page.")
    assert list(roles(decision).values()) == ["research", "analysis", "synthesis"]
    assert COORDINATOR not in roles(decision)
