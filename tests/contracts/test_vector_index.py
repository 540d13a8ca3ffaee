"""What every mirror of long-term memory must do: name candidates of one tenant and one copy."""

from collections.abc import Generator
from secrets import token_hex

import numpy as np
import pytest

from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.index.port import Vector, VectorIndex
from dryad.memory.vectors import Floats
from tests.servers import Killable

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


@pytest.fixture(params=["chroma"])
def index(request: pytest.FixtureRequest) -> Generator[VectorIndex]:
    server: Killable = request.getfixturevalue(f"{request.param}_server")
    index = ChromaIndex(f"http://127.0.0.1:{server.port}", installation=token_hex(8))
    index.create(1)
    yield index
    index.drop_others(0)
    index.close()


def towards(*numbers: float) -> Floats:
    vector = np.array([*numbers, 0.001, 0, 0, 0][:4], np.float32)
    return vector / np.linalg.norm(vector)


def row(number: int, *numbers: float, document: str = "d", **more: str) -> Vector:
    labels = {"category": "general", "agent": ""} | more
    return Vector(number, document, labels["category"], labels["agent"], towards(*numbers))


def test_the_nearest_come_first(index: VectorIndex):
    index.upsert(1, ACME, [row(1, 1, 0), row(2, 0, 1), row(3, 1, 1)])
    assert index.nearest(1, ACME, towards(1, 0.1), limit=2) == [1, 3]
    assert index.nearest(1, ACME, towards(0, 1), limit=10) == [2, 3, 1]


def test_the_same_number_replaces(index: VectorIndex):
    index.upsert(1, ACME, [row(1, 1, 0), row(2, 1, 1)])
    index.upsert(1, ACME, [row(1, 0, 1, document="e")])
    assert index.nearest(1, ACME, towards(1, 0), limit=1) == [2]
    assert index.held(1, ACME) == {1: "e", 2: "d"}
    first, second = sorted(index.rows(1, ACME, [1, 2, 3]), key=lambda row: row.number)
    assert (first[:-1], second[:-1]) == ((1, "e", "general", ""), (2, "d", "general", ""))
    assert np.allclose(first.direction, towards(0, 1))
    assert index.rows(1, GLOBEX, [1, 2]) == []


def test_tenants_never_meet_though_they_share_collections(index: VectorIndex):
    tenants = [TenantId(f"tenant-{n}") for n in range(20)]
    for number, tenant in enumerate(tenants):
        index.upsert(1, tenant, [row(number, 1, 0)])
    for number, tenant in enumerate(tenants):
        assert index.nearest(1, tenant, towards(1, 0), limit=50) == [number]
        assert index.held(1, tenant) == {number: "d"}


def test_filters_choose(index: VectorIndex):
    index.upsert(1, ACME, [row(1, 1, 0, category="a"), row(2, 1, 0, agent="x"), row(3, 1, 0)])
    assert index.nearest(1, ACME, towards(1, 0), limit=9, category="a") == [1]
    assert set(index.nearest(1, ACME, towards(1, 0), limit=9, agents={"x"})) == {2}
    both = index.nearest(1, ACME, towards(1, 0), limit=9, category="general", agents={"", "x"})
    assert set(both) == {2, 3}


def test_what_is_removed_is_gone_and_nothing_else(index: VectorIndex):
    index.upsert(1, ACME, [row(1, 1), row(2, 1, document="e"), row(5, 1)])
    index.upsert(1, GLOBEX, [row(1, 1)])
    index.remove(1, ACME, "d", upto=4)
    assert index.held(1, ACME) == {2: "e", 5: "d"}
    index.discard(1, ACME, [2, 3])
    assert index.held(1, ACME) == {5: "d"}
    assert index.held(1, GLOBEX) == {1: "d"}


def test_copies_are_apart_and_go_whole(index: VectorIndex):
    index.upsert(1, ACME, [row(1, 1)])
    index.create(2)
    assert index.generations() == {1, 2}
    assert index.nearest(2, ACME, towards(1), limit=1) == []
    index.drop_others(2)
    assert index.generations() == {2}
    with pytest.raises(Unavailable):
        index.nearest(1, ACME, towards(1), limit=1)


def test_a_copy_that_never_was_is_not_made_by_writing(index: VectorIndex):
    with pytest.raises(Unavailable):
        index.upsert(7, ACME, [row(1, 1)])
    assert index.generations() == {1}


def test_many_rows_are_taken_over_and_listed(index: VectorIndex):
    directions = np.random.default_rng(1).normal(size=(5_000, 4))
    rows = [row(number, *direction) for number, direction in enumerate(directions.tolist())]
    index.upsert(1, ACME, rows)
    index.upsert(1, ACME, [row(5_000, 1)])
    assert set(index.held(1, ACME)) == set(range(5_001))
