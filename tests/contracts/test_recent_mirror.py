"""What every mirror of short-term memory must do: the newest entry or none, of one copy alone."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from secrets import token_hex

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.recent.port import Change, Copy, Entry, RecentMirror, Slot, Trace
from dryad.memory.recent.redis import RedisMirror
from tests.servers import Killable

SLOT = Slot(TenantId("acme"), "scout", "a:b*[c]")


@pytest.fixture(params=["redis"])
def mirror(request: pytest.FixtureRequest) -> Generator[RecentMirror]:
    server: Killable = request.getfixturevalue(f"{request.param}_server")
    mirror = RedisMirror(
        f"redis://127.0.0.1:{server.port}",
        installation=token_hex(8),
        timeout=timedelta(seconds=5),
    )
    yield mirror
    mirror.close()


@pytest.fixture
def copy(mirror: RecentMirror) -> Copy:
    return Copy(1, mirror.server())


def entry(sequence: int, body: bytes = b"{}") -> Entry:
    return Entry(sequence, body, datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))


def put(mirror: RecentMirror, copy: Copy, found: Entry, slot: Slot = SLOT) -> None:
    mirror.publish(copy, [Change(slot, found.sequence, found)])


def test_what_is_published_is_read(mirror: RecentMirror, copy: Copy):
    written = entry(3, b'{"value":"\xc3\xa4\\u0000"}')
    put(mirror, copy, written)
    assert mirror.read(copy, SLOT) == written
    assert dict(mirror.held(copy)) == {SLOT: Trace.of(written)}


def test_an_older_entry_changes_nothing(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(5))
    put(mirror, copy, entry(4, b"old"))
    found = mirror.read(copy, SLOT)
    assert found is not None
    assert found.sequence == 5
    mirror.publish(copy, [Change(SLOT, 4, None)])
    assert mirror.read(copy, SLOT) is not None


def test_what_is_gone_stays_gone_for_a_late_writer(mirror: RecentMirror, copy: Copy):
    mirror.publish(copy, [Change(SLOT, 7, None)])
    put(mirror, copy, entry(6))
    assert mirror.read(copy, SLOT) is None
    assert dict(mirror.held(copy)) == {}


def test_an_expired_entry_is_none(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(1)._replace(expires=datetime.now(UTC) - timedelta(seconds=1)))
    assert mirror.read(copy, SLOT) is None


def test_a_fenced_slot_is_not_read_until_its_token_comes_back(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(1))
    mirror.fence(copy, SLOT, "a")
    mirror.fence(copy, SLOT, "b")
    new = entry(2)
    mirror.publish(copy, [Change(SLOT, 2, new)], token="a")
    assert mirror.read(copy, SLOT) is None
    mirror.publish(copy, [Change(SLOT, 3, None)], token="unknown")
    put(mirror, copy, entry(4), Slot(TenantId("acme"), "scout", "other"))
    mirror.publish(copy, [Change(SLOT, 1, entry(1))], token="b")
    assert mirror.read(copy, SLOT) == new


def test_copies_and_installations_are_apart(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(1))
    other = Copy(2, copy.server)
    assert mirror.read(other, SLOT) is None
    put(mirror, other, entry(1))
    mirror.drop_others(other)
    assert mirror.read(copy, SLOT) is None
    assert mirror.read(other, SLOT) is not None


def test_slots_are_apart(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(1))
    for slot in (SLOT._replace(tenant="b"), SLOT._replace(agent="c"), SLOT._replace(key="a:b")):
        assert mirror.read(copy, slot) is None


def test_another_server_is_refused(mirror: RecentMirror, copy: Copy):
    put(mirror, copy, entry(1))
    stranger = Copy(copy.generation, "0" * 40)
    with pytest.raises(Unavailable):
        mirror.read(stranger, SLOT)
    with pytest.raises(Unavailable):
        mirror.fence(stranger, SLOT, "t")
    for count in (1, 2):
        with pytest.raises(Unavailable):
            mirror.publish(stranger, [Change(SLOT, 9, entry(9))] * count)
    found = mirror.read(copy, SLOT)
    assert found is not None
    assert found.sequence == 1


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(range(1, 8)), st.sets(st.integers(1, 7)))
def test_in_whatever_order_changes_arrive_the_newest_stays(
    mirror: RecentMirror, copy: Copy, order: list[int], gone: set[int]
):
    slot = Slot(TenantId("acme"), "scout", token_hex(8))
    for number in order:
        kept = None if number in gone else entry(number)
        mirror.publish(copy, [Change(slot, number, kept)])
    found = mirror.read(copy, slot)
    assert (found.sequence if found else None) == (None if 7 in gone else 7)
