"""What is reserved fits, is charged once, and is never locked out for ever."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from dryad.foundation.accounts import PERIOD, accounts_of
from dryad.foundation.audit import Audit
from dryad.foundation.budgets import Budgets
from dryad.foundation.database import Database
from dryad.foundation.database.models import BudgetRow, ReservationRow
from dryad.foundation.errors import InvalidRequest, LimitExceeded, NotFound
from tests.crowd import crowd

TENANT, PROJECT, TASK, AGENT = accounts_of("acme", project="web", task="task_1", agent="ann")
PATH = (TENANT, PROJECT, TASK, AGENT)


class Clock:
    now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budgets(database: Database, tmp_path: Path, clock: Clock) -> Budgets:
    made = Budgets(database, Audit(database, b"k" * 32, tmp_path / "heads"), clock=clock)
    made.open(PATH, {TASK: {"tokens": 1000, "cost_usd": Decimal("0.5")}})
    return made


def left(budgets: Budgets, account: str, resource: str = "tokens") -> Any:
    return budgets.get(account).lines[resource].left


def test_a_step_is_charged_to_every_account_of_its_path(budgets: Budgets):
    held = budgets.reserve(PATH, {"tokens": 300, "cost_usd": Decimal("0.1"), "requests": 1})
    for name in PATH:
        line = budgets.get(name).lines["tokens"]
        assert (line.spent, line.reserved) == (0, 300)
    assert budgets.settle(held.id, {"tokens": 120, "cost_usd": Decimal("0.0123456")})
    for name in PATH:
        lines = budgets.get(name).lines
        assert (lines["tokens"].spent, lines["tokens"].reserved) == (120, 0)
        assert lines["cost_usd"].spent == Decimal("0.012346")  # rounded up, never away
        assert lines["requests"].spent == 0
    assert left(budgets, TASK) == 880


def test_what_does_not_fit_somewhere_is_reserved_nowhere(budgets: Budgets):
    budgets.set_caps(TENANT, {"requests": 1}, by="ann")
    with pytest.raises(LimitExceeded, match=r"acme/task:task_1 .* 1001 tokens wanted, 1E\+3|1000"):
        budgets.reserve(PATH, {"tokens": 1001})
    with pytest.raises(LimitExceeded, match="budget of acme does"):
        budgets.reserve(PATH, {"requests": 2})
    for name in PATH:
        assert {line.reserved for line in budgets.get(name).lines.values()} == {0}
    budgets.reserve(PATH, {"tokens": 1000, "requests": 1})
    with pytest.raises(LimitExceeded):
        budgets.reserve(PATH, {"tokens": 1})
    budgets.reserve(PATH, {"tool_calls": 1})  # nothing of what is used up is wanted


def test_reserving_or_settling_twice_is_doing_it_once(budgets: Budgets):
    for _ in range(2):
        held = budgets.reserve(PATH, {"tokens": 300}, id="hold_x")
    assert left(budgets, TASK) == 700
    assert [budgets.settle(held.id, {"tokens": 100}) for _ in range(2)] == [True, False]
    assert left(budgets, TASK) == 900
    assert not budgets.settle("hold_unknown", None)


def test_what_a_dead_process_reserved_is_charged_in_full_when_its_lease_ends(
    budgets: Budgets, clock: Clock
):
    held = budgets.reserve(PATH, {"tokens": 300})
    clock.now += timedelta(minutes=9)
    assert budgets.settle_lapsed() == 0
    clock.now += timedelta(minutes=1)
    assert budgets.settle_lapsed() == 1
    line = budgets.get(TASK).lines["tokens"]
    assert (line.spent, line.reserved) == (300, 0)
    assert not budgets.settle(held.id, {"tokens": 1})  # it was not dead after all: too late
    assert budgets.forget_settled(before=clock.now + timedelta(seconds=1)) == 1


def test_time_is_charged_afterwards_but_some_has_to_be_left(budgets: Budgets):
    budgets.set_caps(AGENT, {"wall_seconds": 2}, by="ann")
    held = budgets.reserve(PATH, {"requests": 1})
    budgets.settle(held.id, {"wall_seconds": 2.5, "requests": 1})
    with pytest.raises(LimitExceeded, match="wall_seconds"):
        budgets.reserve(PATH, {"requests": 1})
    budgets.set_caps(AGENT, {"wall_seconds": None}, by="ann")
    budgets.reserve(PATH, {"requests": 1})


def test_a_tenant_begins_anew_after_thirty_days_and_a_task_does_not(budgets: Budgets, clock: Clock):
    budgets.set_caps(TENANT, {"tokens": 400}, by="ann")
    budgets.settle(budgets.reserve(PATH, {"tokens": 400}).id, None)
    with pytest.raises(LimitExceeded):
        budgets.reserve(PATH, {"tokens": 1})
    ends = budgets.get(TENANT).period_ends
    assert ends is not None
    assert budgets.get(TASK).period_ends is None
    assert timedelta(0) < ends - clock.now <= PERIOD
    clock.now = ends
    assert left(budgets, TENANT) == 400
    budgets.reserve(PATH, {"tokens": 400})
    assert left(budgets, TASK) == 200


def test_a_step_is_charged_to_the_period_in_which_it_settles(budgets: Budgets, clock: Clock):
    held = budgets.reserve(PATH, {"tokens": 300})
    ends = budgets.get(TENANT).period_ends
    assert ends is not None
    clock.now = ends + timedelta(seconds=1)
    budgets.settle(held.id, {"tokens": 250})
    assert budgets.get(TENANT).lines["tokens"].spent == 250


def test_work_branches_no_further_than_an_account_allows(budgets: Budgets):
    budgets.set_caps(PROJECT, {"fan_out": 3, "depth": 1}, by="ann")
    budgets.allow_shape(PATH, fan_out=3, depth=1)
    with pytest.raises(LimitExceeded, match="fan_out of 4"):
        budgets.allow_shape(PATH, fan_out=4)
    with pytest.raises(LimitExceeded, match="depth of 2"):
        budgets.allow_shape(PATH, depth=2)


@pytest.mark.parametrize(
    "caps", [{"coffee": 1}, {"tokens": -1}, {"cost_usd": float("nan")}, {"tokens": 10**13}]
)
def test_a_cap_that_means_nothing_is_refused(budgets: Budgets, caps: Any):
    with pytest.raises(InvalidRequest):
        budgets.set_caps(TENANT, caps, by="ann")
    assert budgets.get(TENANT).lines["tokens"].cap is None


def test_accounts_are_listed_by_tenant_and_unknown_ones_are_not_found(budgets: Budgets):
    budgets.open(accounts_of("acme2", task="task_9"))
    assert [one.name for one in budgets.of_tenant("acme")] == sorted(PATH)
    assert [one.name for one in budgets.of_tenant("acme", begins="task:")] == [TASK, AGENT]
    with pytest.raises(NotFound):
        budgets.get("globex")
    with pytest.raises(NotFound):
        budgets.reserve(("globex",), {"tokens": 1})


def reserve_all(url: str, heads: str, amount: str, settle: str) -> str:
    """Reserve until nothing fits; return how often it did."""
    database = Database(url)
    budgets = Budgets(database, Audit(database, b"k" * 32, Path(heads)))
    taken = 0
    try:
        for _ in range(20):
            held = budgets.reserve(PATH, {"tokens": int(amount)})
            if settle:
                budgets.settle(held.id, {"tokens": int(settle)})
            taken += 1
    except LimitExceeded:
        pass
    finally:
        database.close()
    return str(taken)


def test_fifty_processes_reserving_at_once_use_exactly_what_there_is(
    budgets: Budgets, database: Database, tmp_path: Path
):
    url = database.url.render_as_string(hide_password=False)
    ended = crowd(50, f"{__name__}:reserve_all", url, tmp_path / "heads", "7", "", seconds=400)
    assert Counter(one.complained for one in ended if one.status) == {}
    assert sum(int(one.said) for one in ended) == 1000 // 7
    assert left(budgets, TASK) == 1000 % 7
    line = budgets.get(TENANT).lines["tokens"]
    assert (line.spent, line.reserved) == (0, 7 * (1000 // 7))


def test_what_is_given_back_can_be_taken_by_others_at_once(
    budgets: Budgets, database: Database, tmp_path: Path
):
    url = database.url.render_as_string(hide_password=False)
    ended = crowd(10, f"{__name__}:reserve_all", url, tmp_path / "heads", "100", "5", seconds=400)
    assert Counter(one.complained for one in ended if one.status) == {}
    line = budgets.get(TASK).lines["tokens"]
    assert (line.spent, line.reserved) == (5 * sum(int(one.said) for one in ended), 0)
    assert line.spent <= 1000
    budgets.reserve(PATH, {"tokens": 1000 - int(line.spent)})  # nothing is locked out


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "lapse"]), st.integers(0, 400), st.integers(0, 9)
    ),
    max_size=25,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_a_cap_is_never_passed_and_the_books_agree(
    budgets: Budgets, database: Database, clock: Clock, done: list[Step]
):
    """Beside the accounts a plain list is kept, by other rules: what is held, and what was used."""
    with database.transaction() as session:
        session.execute(delete(ReservationRow))
        session.execute(delete(BudgetRow))
    budgets.open(PATH, {TASK: {"tokens": 1000}})
    held: list[tuple[str, int]] = []
    spent = 0
    for what, amount, which in done:
        if what == "reserve":
            fits = spent + sum(one for _, one in held) + amount <= 1000 or amount == 0
            try:
                held.append((budgets.reserve(PATH, {"tokens": amount}).id, amount))
                assert fits
            except LimitExceeded:
                assert not fits
        elif what == "settle" and held:
            name, most = held.pop(which % len(held))
            budgets.settle(name, {"tokens": min(amount, most)})
            spent += min(amount, most)
        elif what == "lapse":
            clock.now += timedelta(minutes=10)
            budgets.settle_lapsed()
            spent += sum(one for _, one in held)
            held.clear()
        for name in (TASK, AGENT):
            line = budgets.get(name).lines["tokens"]
            assert (line.spent, line.reserved) == (spent, sum(one for _, one in held))
        assert spent <= 1000
