"""One answer says who found what, and every source keeps its own number."""

from dryad.execution.episodes import Done, Progress, Source
from dryad.orchestration.decision import Seat
from dryad.orchestration.findings import Finding, synthesise


def finding(member: str, text: str, *titles: str, degraded: str = "") -> Finding:
    sources = tuple(Source(n, "d", title, "s", 0, 1, "t") for n, title in enumerate(titles, 1))
    done = Done("done", text, Progress(degraded=degraded), sources)
    return Finding(Seat(member, "researcher", ("s1",)), done)


def test_sources_are_numbered_once_over_all_members():
    a = finding("a", "x [1] y [2]", "A1", "A2")
    b = finding("b", "z [1]", "B1", degraded="no model")
    result = synthesise([a, b])
    assert result["answer"] == "a:\nx [1] y [2]\n\nb:\nz [3]"
    assert [c["title"] for c in result["citations"]] == ["A1", "A2", "B1"]
    assert result["degraded"] == "no model"


def test_one_member_speaks_for_itself():
    assert synthesise([finding("a", "x")])["answer"] == "x"


def test_a_member_that_stopped_says_why():
    stopped = Done("stopped", "", Progress(), reason="the limit of 3 steps")
    result = synthesise([Finding(Seat("a", "researcher", ("s1",)), stopped)])
    assert result["answer"] == "(stopped: the limit of 3 steps)"
    assert result["work"][0]["status"] == "stopped"
