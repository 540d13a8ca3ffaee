"""A thousand open questions are listed and expired with few statements, however many they are."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from dryad.orchestration.review.opening import needs, new_case
from tests.dryad.orchestration.review.conftest import ACME, QUESTION, World

MANY = 1_000


def ask_many(world: World) -> None:
    needed = needs(world.policies.current(ACME), QUESTION)
    with world.database.transaction() as session:
        for ordinal in range(1, MANY + 1):
            question = replace(QUESTION, ordinal=ordinal)
            session.add(
                new_case(
                    question, needed, epoch="epoch-1", now=world.now, deadline=timedelta(hours=24)
                )
            )


@contextmanager
def statements(world: World) -> Generator[list[str]]:
    """Collect what is said to the database meanwhile."""
    said: list[str] = []

    def hear(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(world.database.engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(world.database.engine, "before_cursor_execute", hear)


def test_a_thousand_open_questions_are_listed_at_once(world: World):
    ask_many(world)
    with statements(world) as said:
        found = world.cases.open(ACME, limit=MANY)
    assert len(found) == MANY
    assert len(said) <= 4, said


def test_a_pass_of_the_keeper_over_a_thousand_waiting_questions_touches_none(world: World):
    ask_many(world)
    with statements(world) as said:
        assert world.cases.upkeep.expire() == []
    assert len(said) <= 2, said


def test_a_thousand_late_questions_are_closed_in_a_few_passes(world: World):
    ask_many(world)
    world.now += timedelta(hours=25)
    closed = 0
    for _ in range(10):
        closed += len(world.cases.upkeep.expire(limit=200))
    assert closed == MANY
    assert world.cases.open(ACME) == []


@pytest.mark.soak
def test_the_figures_of_a_thousand_open_questions(world: World, capsys: pytest.CaptureFixture[str]):
    ask_many(world)
    figures: list[str] = []

    def timed(what: str, do: Callable[[], Any]) -> None:
        wall, cpu = time.monotonic(), time.process_time()
        do()
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        figures.append(f"{what} {wall:.2f} s, {cpu:.2f} CPU s")

    timed("listed", lambda: world.cases.open(ACME, limit=MANY))
    timed("a pass over those waiting", world.cases.upkeep.expire)
    world.now += timedelta(hours=25)
    timed("a pass that closes 200", world.cases.upkeep.expire)
    timed("four that close the other 800", lambda: [world.cases.upkeep.expire() for _ in range(4)])
    assert world.cases.open(ACME) == []
    with capsys.disabled():
        kind = world.database.engine.dialect.name
        print(f"\n{MANY} open questions on {kind}: {'; '.join(figures)}")  # noqa: T201 - quoted
