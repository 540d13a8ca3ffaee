"""What a tenant lets its agents do with memory, what may come in, and how long it stays.

Without a rule an agent reads and writes its own memory, and reads what is the whole tenant's.
Nothing is deleted, and nobody else's memory is touched, unless a rule says so.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dryad.execution.memories import SHARED, WORKING

Right = Literal["read", "write", "delete"]

SELF, TENANT, ANY = "self", "tenant", "*"

RESERVED = ("agent:", "task:", "dialogue:", WORKING)
"""Origins that DRYAD itself gives; no source needs to list them, and nobody else may give them."""

_ENDS = "/:?#"
"""Where a name in an origin ends: `https://a.com` is no source of `https://a.com.evil.org`."""

_Names = Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]


class Rule(BaseModel):
    """Lets agents do something with somebody's memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: _Names = Field((ANY,), description="Ids of agents, or `*`")
    owners: _Names = Field(
        description="Whose memory: `self`, `tenant` (what belongs to all), ids of agents, or `*`"
    )
    rights: Annotated[tuple[Right, ...], Field(min_length=1)]

    def covers(self, agent: str, right: Right, owner: str) -> bool:
        """Whether it lets `agent` do this with the memory of `owner`."""
        whose = {ANY, owner or TENANT, *([SELF] if owner == agent else [])}
        return (
            right in self.rights
            and not {ANY, agent}.isdisjoint(self.agents)
            and not whose.isdisjoint(self.owners)
        )


class MemoryPolicy(BaseModel):
    """One tenant's policy for memory; the empty one allows nothing beyond the owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: Annotated[tuple[Rule, ...], Field(max_length=200)] = ()
    sources: Annotated[tuple[str, ...], Field(max_length=1_000)] | None = Field(
        default=None,
        description="What origins of documents begin with; null: any. DRYAD's own come in always",
    )
    retention_days: Annotated[dict[str, Annotated[int, Field(ge=1, le=36_500)]], Field()] = Field(
        default={}, description="Days a document of a category is kept; `*` for all others"
    )

    def allows(self, agent: str, right: Right, owner: str) -> bool:
        """Whether `agent` may do this with the memory of `owner`; '' is the whole tenant's."""
        own = owner == agent and right != "delete"
        shared = owner == SHARED and right == "read"
        return own or shared or any(rule.covers(agent, right, owner) for rule in self.rules)

    def readable(self, agent: str) -> frozenset[str] | None:
        """Return whose memory `agent` may read, '' for the whole tenant's; None: everybody's."""
        rules = [
            r for r in self.rules if "read" in r.rights and not {ANY, agent}.isdisjoint(r.agents)
        ]
        owners = {owner for rule in rules for owner in rule.owners}
        return None if ANY in owners else frozenset({agent, SHARED, *owners} - {SELF, TENANT})

    def admits(self, origin: str) -> bool:
        """Whether a document of this origin may come in; a source ends where a name does."""
        known = (*RESERVED, *(self.sources or ()))
        return self.sources is None or any(_lies_below(origin, source) for source in known)


def _lies_below(origin: str, source: str) -> bool:
    rest = origin.removeprefix(source)
    begins = origin.startswith(source)
    return begins and (not rest or source[-1:] in _ENDS or rest[0] in _ENDS)


NO_RULES = MemoryPolicy()
