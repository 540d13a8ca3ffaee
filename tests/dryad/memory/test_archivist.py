"""Short-term memory keeps what it was given, for as long as it was told, for its owner alone."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from dryad.foundation.database import Database
from dryad.foundation.database.models import RecentRow
from dryad.foundation.errors import InvalidRequest, LimitExceeded
from dryad.memory.archivist import Archivist
from tests.dryad.memory.conftest import ACME, GLOBEX, Hands


def keys(archivist: Archivist, pattern: str, **more: Any) -> list[str]:
    return [found.key for found in archivist.list(ACME, "scout", pattern, **more)]


@pytest.mark.parametrize(
    "value", [None, 0, "", "漢字\0", [1, {"a": [True]}], {"nested": {"deep": 1.5}}]
)
def test_what_is_remembered_is_recalled(archivist: Archivist, value: Any):
    archivist.remember(ACME, "scout", "k", value)
    found = archivist.recall(ACME, "scout", "k")
    assert found is not None
    assert found.value == value


def test_a_newer_value_takes_the_place_of_an_older_one(archivist: Archivist, clock: Hands):
    archivist.remember(ACME, "scout", "k", "old")
    expires = archivist.remember(ACME, "scout", "k", "new", ttl=timedelta(minutes=1))
    found = archivist.recall(ACME, "scout", "k")
    assert found is not None
    assert (found.value, found.expires) == ("new", expires)
    assert expires == clock() + timedelta(minutes=1)


def test_an_expired_value_is_never_seen_and_purging_removes_it(
    archivist: Archivist, clock: Hands, ledger: Database
):
    archivist.remember(ACME, "scout", "short", 1, ttl=timedelta(seconds=10))
    archivist.remember(ACME, "scout", "long", 2)
    clock.move(seconds=10)
    assert archivist.recall(ACME, "scout", "short") is None
    assert keys(archivist, "*") == ["long"]
    assert not archivist.forget(ACME, "scout", "short")
    archivist.remember(ACME, "scout", "short", 1, ttl=timedelta(seconds=10))
    clock.move(seconds=10)
    assert archivist.purge() == 1
    with ledger.reading() as session:
        assert session.scalar(select(func.count()).select_from(RecentRow)) == 1


def test_what_is_forgotten_is_gone(archivist: Archivist):
    archivist.remember(ACME, "scout", "k", 1)
    assert archivist.forget(ACME, "scout", "k")
    assert archivist.recall(ACME, "scout", "k") is None
    assert not archivist.forget(ACME, "scout", "k")


def test_nobody_else_sees_it(archivist: Archivist):
    archivist.remember(ACME, "scout", "k", "secret")
    for tenant, agent in ((GLOBEX, "scout"), (ACME, "other")):
        assert archivist.recall(tenant, agent, "k") is None
        assert archivist.list(tenant, agent) == []
        assert not archivist.forget(tenant, agent, "k")
    assert archivist.recall(ACME, "scout", "k") is not None


def test_only_the_star_is_special_in_a_pattern(archivist: Archivist):
    for key in ("a_1", "ab1", "A_1", "a%1", "a\\1", "a_12", "b"):
        archivist.remember(ACME, "scout", key, key)
    assert keys(archivist, "a_*") == ["a_1", "a_12"]
    assert keys(archivist, "a%1") == ["a%1"]
    assert keys(archivist, "a\\*") == ["a\\1"]
    assert keys(archivist, "*1") == sorted(["a_1", "ab1", "A_1", "a%1", "a\\1"])
    assert keys(archivist, "a*", limit=2) == sorted(["a_1", "ab1", "a%1", "a\\1", "a_12"])[:2]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    key=st.text("aA_%\\*?[.", min_size=1, max_size=6),
    pattern=st.text("aA_%\\*?[.", min_size=1, max_size=6),
)
def test_a_pattern_matches_exactly_what_it_says(archivist: Archivist, key: str, pattern: str):
    archivist.remember(ACME, "scout", key, 1)
    assert (key in keys(archivist, pattern)) == _matches(key, pattern)
    archivist.forget(ACME, "scout", key)


def _matches(key: str, pattern: str) -> bool:
    if not pattern:
        return not key
    if pattern[0] == "*":
        return any(_matches(key[n:], pattern[1:]) for n in range(len(key) + 1))
    return key[:1] == pattern[0] and _matches(key[1:], pattern[1:])


def test_what_was_remembered_last_comes_first(archivist: Archivist, clock: Hands):
    for number in range(5):
        clock.move(minutes=1)
        archivist.remember(ACME, "scout", f"k{number * 3 % 5}", number)
    archivist.remember(ACME, "other", "k", "somebody's")
    clock.move(minutes=1)
    archivist.remember(ACME, "scout", "k0", "again", ttl=timedelta(minutes=2))
    found = [one.value for one in archivist.newest(ACME, "scout", limit=3)]
    assert found == ["again", 4, 3]
    clock.move(minutes=3)
    assert [one.value for one in archivist.newest(ACME, "scout", limit=2)] == [4, 3]


def test_a_pattern_of_many_stars_takes_no_longer(archivist: Archivist):
    archivist.remember(ACME, "scout", "a" * 199 + "B", 1)
    assert keys(archivist, "*a" * 60 + "*b") == []
    assert keys(archivist, "*a" * 60 + "*B") == ["a" * 199 + "B"]


@pytest.mark.parametrize("key", ["", "k" * 201, "a\nb", "nul\0"])
def test_a_malformed_key_is_refused(archivist: Archivist, key: str):
    for asked in (archivist.recall, archivist.forget, archivist.list):
        with pytest.raises(InvalidRequest):
            asked(ACME, "scout", key)
    with pytest.raises(InvalidRequest):
        archivist.remember(ACME, "scout", key, 1)


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(days=7, seconds=1), timedelta(-1)])
def test_a_life_out_of_bounds_is_refused(archivist: Archivist, ttl: timedelta):
    with pytest.raises(InvalidRequest):
        archivist.remember(ACME, "scout", "k", 1, ttl=ttl)


def test_a_value_that_is_too_large_or_no_json_is_refused(archivist: Archivist):
    with pytest.raises(LimitExceeded):
        archivist.remember(ACME, "scout", "k", "x" * 1_000_000)
    with pytest.raises(InvalidRequest):
        archivist.remember(ACME, "scout", "k", {1, 2})
    assert archivist.list(ACME, "scout") == []
