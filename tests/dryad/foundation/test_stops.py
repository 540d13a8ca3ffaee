"""What is stopped is refused, for everybody it concerns and nobody else, until it is lifted."""

from pathlib import Path

import pytest

from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from dryad.foundation.stops import Stops


@pytest.fixture
def audit(database: Database, tmp_path: Path) -> Audit:
    return Audit(database, b"k" * 32, tmp_path / "heads")


@pytest.fixture
def stops(database: Database, audit: Audit) -> Stops:
    return Stops(database, audit)


def refused(stops: Stops, tenant: str, **named: str) -> bool:
    try:
        stops.check(tenant, **named)
    except Refused:
        return True
    return False


HERE = {"agent": "researcher", "tool": "search", "run": "3f0c-1"}


@pytest.mark.parametrize(
    ("scope", "elsewhere"),
    [
        ("agent:researcher", {"agent": "analyst", "tool": "search", "run": "3f0c-1"}),
        ("tool:search", {"agent": "researcher", "tool": "mail", "run": "3f0c-1"}),
        ("run:3f0c-1", {"agent": "researcher", "tool": "search", "run": "3f0c-2"}),
    ],
)
def test_a_stop_holds_where_it_was_set_and_nowhere_else(
    stops: Stops, scope: str, elsewhere: dict[str, str]
):
    stops.set("acme", scope, reason="odd answers", by="ann")
    assert refused(stops, "acme", **HERE)
    assert not refused(stops, "acme", **elsewhere)
    assert not refused(stops, "acme")
    assert not refused(stops, "globex", **HERE)
    stops.lift("acme", scope, reason="understood", by="bob")
    assert not refused(stops, "acme", **HERE)


def test_a_stopped_tenant_does_nothing_and_a_global_stop_holds_everybody(stops: Stops):
    stops.set("acme", "tenant:acme", reason="unpaid", by="ann")
    assert refused(stops, "acme")
    assert not refused(stops, "globex")
    stops.set("acme", "global", reason="incident", by="ann")
    assert refused(stops, "globex", agent="any")
    stops.lift("globex", "global", reason="over", by="bob")
    assert not refused(stops, "globex")
    assert refused(stops, "acme")


def test_who_is_refused_reads_why_and_what_lifts_it(stops: Stops):
    stops.set("acme", "agent:researcher", reason=" odd answers ", by="ann")
    with pytest.raises(Refused, match="odd answers") as refusal:
        stops.check("acme", agent="researcher")
    assert "dryad lift agent:researcher" in refusal.value.next_step
    assert "ann" in refusal.value.next_step


def test_stopping_twice_is_one_stop_and_lifting_twice_is_none(stops: Stops):
    first = stops.set("acme", "tool:mail", reason="first", by="ann")
    assert stops.set("acme", "tool:mail", reason="second", by="bob") == first
    lifted = stops.lift("acme", "tool:mail", reason="ok", by="bob")
    assert (lifted.reason, lifted.lifted_by) == ("first", "bob")
    with pytest.raises(NotFound):
        stops.lift("acme", "tool:mail", reason="ok", by="bob")


def test_stops_are_listed_for_those_they_concern(stops: Stops):
    stops.set("acme", "tool:mail", reason="r", by="ann")
    stops.set("globex", "global", reason="r", by="ann")
    stops.set("globex", "agent:a1", reason="r", by="ann")
    stops.lift("acme", "tool:mail", reason="", by="bob")
    assert [stop.scope for stop in stops.list()] == ["agent:a1", "global"]
    assert [stop.scope for stop in stops.list("acme")] == ["global"]
    assert [stop.scope for stop in stops.list("acme", lifted=True)] == ["global", "tool:mail"]
    assert [stop.tenant for stop in stops.list()] == ["globex", None]


def test_setting_and_lifting_are_on_record(stops: Stops, audit: Audit):
    stops.set("acme", "global", reason="incident", by="ann")
    stops.lift("acme", "global", reason="over", by="bob")
    told = [(r["event"], r["actor"], r["subject"], r["data"]) for r in audit.export("acme")]
    assert told == [
        ("stop_set", "ann", "global", {"reason": "incident"}),
        ("stop_lifted", "bob", "global", {"reason": "over"}),
    ]


def test_a_stop_outlives_the_process_that_set_it(stops: Stops, database: Database, audit: Audit):
    stops.set("acme", "global", reason="incident", by="ann")
    again = Database(database.url.render_as_string(hide_password=False))
    assert refused(Stops(again, audit), "acme")
    again.close()


@pytest.mark.parametrize("scope", ["", "agent", "agent:", "user:x", "global:x", "agent:a b", "*"])
def test_a_scope_that_means_nothing_is_refused(stops: Stops, scope: str):
    with pytest.raises(InvalidRequest, match="no scope"):
        stops.set("acme", scope, reason="r", by="ann")
    assert stops.list() == []


def test_nobody_stops_another_tenant_or_without_a_reason(stops: Stops):
    with pytest.raises(InvalidRequest, match="globex"):
        stops.set("acme", "tenant:globex", reason="r", by="ann")
    with pytest.raises(InvalidRequest, match="reason"):
        stops.set("acme", "global", reason=" ", by="ann")
    assert stops.list() == []
