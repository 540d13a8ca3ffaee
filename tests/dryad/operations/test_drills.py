"""When a drill counts as a recovery, and what of the runbook's list it fills in."""

from datetime import timedelta

from dryad.operations.drills import CHECKLIST, Drill, checklist

GOOD = Drill("20251013-020000-1f3c", {"restore": 60.0, "start": 20.0}, timedelta(hours=9), ())


def changed(**more: object) -> Drill:
    return Drill(**{**vars(GOOD), **more})  # type: ignore[arg-type]


def test_a_quick_recovery_from_a_young_set_misses_nothing():
    assert GOOD.missed == []
    assert GOOD.rto == timedelta(seconds=80)


def test_each_missed_objective_is_named():
    slow = changed(steps={"restore": 4 * 3600 + 1})
    assert [text[:3] for text in slow.missed] == ["RTO"]
    old = changed(rpo=timedelta(hours=25))
    assert "25:00:00 old, allowed are 24:00:00" in old.missed[0]
    assert changed(problems=("level 0: x",)).missed == ["level 0: x"]


def test_the_list_says_who_says_so():
    rows = checklist(GOOD, {CHECKLIST[1]: "Ada calls everybody"})
    assert [row["by"] for row in rows] == [*["person"] * 3, *["machine"] * 4, "person"]
    assert rows[1]["outcome"] == "Ada calls everybody"
    assert rows[0]["outcome"] == "not answered"
    assert "60 s" in rows[3]["outcome"]
    assert "stays" in rows[6]["outcome"]
    assert checklist(changed(problems=("broken",)), {})[4]["outcome"] == "broken"
