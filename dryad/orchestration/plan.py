"""What a task comes down to: steps, what each needs, and which wait for which.

Planners make one from the text of a task: `offline_planner` by rules, `model_planner` by asking.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from dryad.foundation.errors import InvalidRequest

MOST_STEPS = 64
"""The most steps a planner makes, unless it is told otherwise."""


@dataclass(frozen=True)
class PlanStep:
    """One piece of work: what is to be done, what it takes, and what must be finished before."""

    id: str
    text: str
    capability: str
    tools: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in an order in which they can be done; dependencies form no cycle."""

    steps: tuple[PlanStep, ...]

    def __post_init__(self) -> None:
        known = {step.id for step in self.steps}
        if not self.steps or len(known) != len(self.steps):
            raise InvalidRequest("a plan has one step or more, with different ids")
        for step in self.steps:
            if unknown := set(step.after) - known:
                raise InvalidRequest(f"step {step.id} waits for unknown {sorted(unknown)}")
        try:
            tuple(TopologicalSorter({s.id: s.after for s in self.steps}).static_order())
        except CycleError as error:
            raise InvalidRequest(f"the plan waits for itself: {error.args[1]}") from error

    @property
    def tools(self) -> frozenset[str]:
        """Every tool the plan would use."""
        return frozenset(tool for step in self.steps for tool in step.tools)

    @property
    def capabilities(self) -> frozenset[str]:
        """Every capability the plan needs."""
        return frozenset(step.capability for step in self.steps)

    def in_order(self) -> tuple[PlanStep, ...]:
        """Return the steps so that none stands before one it waits for; else as they are given."""
        done: set[str] = set()
        left, ordered = list(self.steps), list[PlanStep]()
        while left:
            step = next(step for step in left if done >= set(step.after))
            left.remove(step)
            done.add(step.id)
            ordered.append(step)
        return tuple(ordered)

    def branches(self) -> tuple[tuple[PlanStep, ...], ...]:
        """Return the groups of steps that share no dependency: each can go on by itself."""
        group = {step.id: step.id for step in self.steps}

        def root(step_id: str) -> str:
            while group[step_id] != step_id:
                step_id = group[step_id]
            return step_id

        for step in self.steps:
            for earlier in step.after:
                group[root(step.id)] = root(earlier)
        grouped: dict[str, list[PlanStep]] = {}
        for step in self.steps:
            grouped.setdefault(root(step.id), []).append(step)
        return tuple(tuple(steps) for steps in grouped.values())

    def to_json(self) -> list[dict[str, Any]]:
        """Return the steps as JSON objects; `from_json` reads them back."""
        return [asdict(step) for step in self.steps]

    @staticmethod
    def from_json(steps: Iterable[dict[str, Any]]) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            InvalidRequest: the steps are no plan.
        """
        return Plan(
            tuple(
                PlanStep(
                    id=step["id"],
                    text=step["text"],
                    capability=step["capability"],
                    tools=tuple(step["tools"]),
                    after=tuple(step["after"]),
                )
                for step in steps
            )
        )
