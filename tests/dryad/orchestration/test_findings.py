"""One answer says who found what, and every source keeps its own number."""

from dryad.orchestration.findings import Citation, Finding, synthesise


def source(title: str) -> Citation:
    return Citation(title, "s", "o", 0, 1, "trusted")


def test_sources_are_numbered_once_over_all_members():
    a = Finding("a", "researcher", "x [1] y [2]", (source("A1"), source("A2")))
    b = Finding("b", "researcher", "z [1]", (source("B1"),), degraded="no model")
    result = synthesise([a, b])
    assert result["answer"] == "a: x [1] y [2]\n\nb: z [3]"
    assert [c["title"] for c in result["citations"]] == ["A1", "A2", "B1"]
    assert result["degraded"] == "no model"


def test_one_member_speaks_for_itself():
    assert synthesise([Finding("a", "researcher", "x")])["answer"] == "x"
