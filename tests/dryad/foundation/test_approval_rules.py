"""Who must say yes is decided by the first rule that matches; what no rule speaks of is refused."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dryad.foundation.approval_rules import UNVERIFIED, Act, Need
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.policies import BUILT_IN, PolicyDocument, parse
from dryad.foundation.tool_rules import TIERS

RULES: list[dict[str, Any]] = [
    {"tools": ["wipe"], "need": "refuse"},
    {"actions": ["financial_transaction"], "need": "two", "role": "treasurer"},
    {"agents": ["messenger"], "tiers": ["external"], "need": "notify"},
    {"tiers": ["external", "irreversible"], "need": "one"},
    {"tiers": ["read"], "need": "automatic"},
]

CASES = [
    (Act("read", tool="wipe"), "refuse", ""),
    (Act("read", "financial_transaction"), "two", "treasurer"),
    (Act("external", agent="messenger"), "notify", ""),
    (Act("external", agent="analyst"), "one", ""),
    (Act("read", agent="analyst"), "automatic", ""),
    (Act("authority", agent="analyst"), "refuse", ""),
]


@pytest.mark.parametrize(("act", "need", "role"), CASES)
def test_the_first_rule_that_matches_decides(act: Act, need: Need, role: str):
    wanted = parse({"rules": RULES}).judge(act)
    assert (wanted.need, wanted.role) == (need, role)
    assert wanted.why


@pytest.mark.parametrize("tier", TIERS)
def test_without_rules_one_yes_is_wanted_from_the_approval_tier_upward(tier: Any):
    expected = "one" if TIERS.index(tier) >= TIERS.index("external") else "automatic"
    assert BUILT_IN.judge(Act(tier)).need == expected


def test_no_rule_at_all_refuses_everything():
    nothing = parse({"rules": []})
    assert {nothing.judge(Act(tier)).need for tier in TIERS} == {"refuse"}


def test_one_yes_becomes_two_when_nobody_knows_who_asked():
    asked = Act("external", requester=UNVERIFIED)
    wanted = BUILT_IN.judge(asked)
    assert (wanted.need, wanted.raised) == ("two", True)
    assert BUILT_IN.judge(Act("read", requester=UNVERIFIED)).need == "automatic"
    assert parse({"unverified_needs": "one"}).judge(asked).need == "one"


@pytest.mark.parametrize(
    "rule", [{"need": "maybe"}, {"need": "automatic", "role": "chief"}, {"needs": "one"}, {}]
)
def test_a_rule_that_means_nothing_is_refused(rule: dict[str, Any]):
    with pytest.raises(InvalidRequest, match="rules"):
        parse({"rules": [rule]})


names = st.sampled_from(["a", "b", "c"])
lists = st.lists(names, max_size=2)
rules = st.fixed_dictionaries(
    {
        "actions": lists,
        "tools": lists,
        "agents": lists,
        "tiers": st.lists(st.sampled_from(TIERS), max_size=3),
        "need": st.sampled_from(get_args(Need)),
    }
)
acts = st.builds(Act, st.sampled_from(TIERS), names, names, names)


@given(st.lists(rules, max_size=6), acts)
def test_only_a_rule_that_speaks_of_an_act_can_allow_it(
    given_rules: list[dict[str, Any]], act: Act
):
    """The rules are read here a second time, by other words."""
    wanted = PolicyDocument.model_validate({"rules": given_rules}).judge(act)
    seen = {"actions": act.action, "tools": act.tool, "agents": act.agent, "tiers": act.tier}
    speaking = [
        rule
        for rule in given_rules
        if not any(rule[field] and value not in rule[field] for field, value in seen.items())
    ]
    assert wanted.need == (speaking[0]["need"] if speaking else "refuse")
