"""Who must say yes to an act: rules on values, looked through in order; the first match decides.

No rule, no act: what nothing matches is refused.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dryad.foundation.tool_rules import Tier, at_least

Need = Literal["automatic", "notify", "one", "two", "refuse"]
"""What a rule wants: nothing, that somebody hears of it, one yes, two of different people, never.
"""

UNVERIFIED = "ui:unverified"
"""The requester of a run that was started from a form: the server does not say who it was."""

CALL = "tool_execution"
"""The action of a tool whose configuration names none."""

PLAN, ANSWER, DOUBT = "plan", "answer", "doubt"
"""What else a person is asked about: a plan, an answer not backed up, a call nobody knows of."""

_APPROVERS: dict[Need, int] = {"automatic": 0, "notify": 0, "one": 1, "two": 2, "refuse": 0}


@dataclass(frozen=True)
class Act:
    """What is about to happen, as far as rules look at it."""

    tier: Tier
    action: str = CALL
    """`config["action"]` of the tool, else `tool_execution`; `plan`, `answer` or `doubt` when
    something else than a call is asked about."""
    tool: str = ""
    agent: str = ""
    requester: str = ""


@dataclass(frozen=True)
class Requirement:
    """What the policy wants before an act happens."""

    need: Need
    role: str = ""
    """The role everybody who says yes must hold; '' when any reviewer may."""
    why: str = ""
    raised: bool = False
    """Two instead of one, only because nobody knows who asked."""

    @property
    def approvers(self) -> int:
        """How many different people must say yes."""
        return _APPROVERS[self.need]


class Rule(BaseModel):
    """One line of a policy. An empty list matches everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actions: tuple[str, ...] = Field(default=(), description="Kinds of action; empty: every")
    tools: tuple[str, ...] = Field(default=(), description="Names of tools; empty: every")
    agents: tuple[str, ...] = Field(default=(), description="Ids of agents; empty: every")
    tiers: tuple[Tier, ...] = Field(default=(), description="Risk tiers; empty: every")
    need: Need
    role: str = Field(default="", max_length=64, description="Who says yes must hold it")

    @model_validator(mode="after")
    def _role_has_a_use(self) -> "Rule":
        if self.role and not _APPROVERS[self.need]:
            raise ValueError(f"a rule that needs {self.need!r} asks nobody, so it takes no role")
        return self

    def matches(self, act: Act) -> bool:
        """Whether the rule speaks of `act`."""
        pairs = (
            (self.actions, act.action),
            (self.tools, act.tool),
            (self.agents, act.agent),
            (self.tiers, act.tier),
        )
        return all(value in wanted for wanted, value in pairs if wanted)


class ApprovalPolicy(Protocol):
    """What deciding one call needs to know of the tenant's policy."""

    @property
    def version(self) -> int:
        """Which version of the policy it is; approvals are bound to it."""
        ...

    @property
    def untrusted_needs(self) -> str:
        """`approval` or `refuse`: what becomes of risky calls after reading foreign text."""
        ...

    @property
    def secret_providers(self) -> Collection[str]:
        """Model providers that may hear what a tool that reads secrets returns."""
        ...

    def judge(self, act: Act) -> Requirement:
        """Return what is wanted before `act` happens."""
        ...


def judge(
    act: Act,
    *,
    rules: Sequence[Rule] | None,
    approval_tier: Tier,
    unverified_needs: Literal["one", "two"],
) -> Requirement:
    """Return what is wanted before `act` happens.

    Args:
        act: What is about to happen.
        rules: The first that matches decides, and what none matches is refused; None: one yes
            from `approval_tier` upward, nothing below it.
        approval_tier: See `rules`.
        unverified_needs: What one yes becomes when nobody knows who asked.
    """
    found = _by_tier(act, approval_tier) if rules is None else _by_rules(act, rules)
    if act.requester == UNVERIFIED and found.need == "one" and unverified_needs == "two":
        why = f"{found.why}; two, because nobody knows who asked"
        return Requirement("two", found.role, why, raised=True)
    return found


def _by_tier(act: Act, approval_tier: Tier) -> Requirement:
    why = f"policy asks from {approval_tier} upward"
    return Requirement("one" if at_least(act.tier, approval_tier) else "automatic", why=why)


def _by_rules(act: Act, rules: Sequence[Rule]) -> Requirement:
    for number, rule in enumerate(rules, start=1):
        if rule.matches(act):
            role = f" with the role {rule.role}" if rule.role else ""
            return Requirement(rule.need, rule.role, f"rule {number}: {rule.need}{role}")
    return Requirement("refuse", why="no rule of the policy speaks of it")


assert set(_APPROVERS) == set(get_args(Need))
