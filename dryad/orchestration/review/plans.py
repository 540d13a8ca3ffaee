"""A plan that waits for a person may be edited: what they may write, and how it then differs."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from dryad.execution.agents import Agents
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import TenantId
from dryad.foundation.tools import Tools
from dryad.orchestration.model_planner import read_plan
from dryad.orchestration.plan import MOST_STEPS, Plan
from dryad.orchestration.review.quoting import visible

_ID = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_HOW = (
    'Send {"steps": [{"id", "text", "capability", "tools", "after"}, …]}: the whole plan, as '
    "`dryad inbox plan` prints it."
)


class EditedPlans:
    """Reads plans that people wrote, by what a tenant's agents can do and which tools it has."""

    def __init__(self, agents: Agents, tools: Tools, *, most_steps: int = MOST_STEPS) -> None:
        self._agents = agents
        self._tools = tools
        self._most_steps = most_steps

    def read(self, tenant: TenantId, edits: Mapping[str, Any]) -> Plan:
        """Return the plan that `{"steps": […]}` holds, its steps called as in there.

        A person is told what is wrong: nothing is set right for them, as it is for a model.

        Raises:
            InvalidRequest: it is no plan, waits for itself or for nothing, is too long, or wants a
                tool or a capability that is not there.
        """
        if set(edits) != {"steps"}:
            raise InvalidRequest("an edited plan is an object with `steps` and no more", _HOW)
        active = [agent for agent in self._agents.list(tenant) if agent.status == "active"]
        try:
            plan, wrong = read_plan(
                edits,
                capabilities={name for agent in active for name in agent.capabilities},
                tools={tool.name for tool in self._tools.list(tenant, active_only=True)},
                most_steps=self._most_steps,
            )
        except InvalidRequest as error:
            raise InvalidRequest(
                f"the edited plan cannot be used: {error.message}", _HOW
            ) from error
        if wrong:
            raise InvalidRequest(f"the edited plan cannot be used: {'; '.join(wrong)}", _HOW)
        return _as_named(plan, edits["steps"])

    def checked(
        self,
        tenant: TenantId,
        edits: dict[str, Any],
        *,
        of: Mapping[str, Any],
        standing: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Return what a reviewer wrote, once it was found that a plan in it can be carried out.

        Args:
            tenant: Whose plan it is.
            edits: What they wrote: a plan, or arguments of a call, which are looked at later.
            of: The question it answers.
            standing: What another reviewer had put in its place before.

        Raises:
            InvalidRequest: the plan cannot be carried out, or is what was asked about.
        """
        if not edits_plan(of, edits):
            return edits
        plan = self.read(tenant, edits)
        read: dict[str, Any] = orjson.loads(canonical_json({"steps": plan.to_json()}))
        if read["steps"] == shown_plan(of, standing):
            raise InvalidRequest("nothing was changed in the plan; approve it as it is")
        return read


def _as_named(plan: Plan, steps: Sequence[Mapping[str, Any]]) -> Plan:
    """Return a plan with the names its author gave the steps."""
    given = {f"s{place}": str(step["id"]) for place, step in enumerate(steps, start=1)}
    for name in given.values():
        if not _ID.fullmatch(name):
            raise InvalidRequest(f"a step is called by letters and digits, not {name[:40]!r}", _HOW)
    return Plan(
        tuple(
            replace(step, id=given[step.id], after=tuple(given[name] for name in step.after))
            for step in plan.steps
        )
    )


def edits_plan(question: Mapping[str, Any], edits: Mapping[str, Any] | None) -> bool:
    """Whether edits of a case are another plan, and not other arguments of its one call."""
    if edits is None or question.get("plan") is None:
        return False
    return question.get("call") is None or set(edits) == {"steps"}


def shown_plan(
    question: Mapping[str, Any], edits: Mapping[str, Any] | None
) -> list[dict[str, Any]] | None:
    """Return the steps a case is about now, with what a reviewer changed; None for no plan."""
    if edits is not None and edits_plan(question, edits):
        return edits["steps"]
    return question.get("plan")


def filled_in_plan(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps of a plan as a form shows them.

    What is written to mislead the eye is named, for a browser would carry it out.
    """
    return [{**step, "text": visible(step["text"])} for step in steps]


def edits_in_form(
    values: Mapping[str, Any], shown: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any] | None:
    """Return what a form changed, None for nothing: its plan is filled in, and comes back as it is.

    Raises:
        InvalidRequest: it changed the plan and the arguments of a call at once.
    """
    arguments: dict[str, Any] | None = values.get("edited_arguments") or None
    plan: object = values.get("plan")
    if shown is None or plan is None or plan == filled_in_plan(shown):
        return arguments
    if arguments:
        raise InvalidRequest("change the plan or the arguments of its call, not both at once")
    return {"steps": plan}


def plan_difference(before: Plan, after: Plan) -> str:
    """Return how two plans differ, line by line (`-`, `+`)."""
    lines = difflib.unified_diff(
        list(_told(before)), list(_told(after)), "asked", "edited", lineterm="", n=2
    )
    return "\n".join(lines)


def difference_in(question: Mapping[str, Any], edits: Mapping[str, Any]) -> str:
    """Return how the edited plan of a case differs from the one asked about."""
    asked = cast("Sequence[dict[str, Any]]", question["plan"])
    return plan_difference(Plan.from_json(asked), Plan.from_json(edits["steps"]))


def _told(plan: Plan) -> Iterator[str]:
    for step in plan.steps:
        yield f"{step.id}: {' '.join(step.text.split())}"
        tools = ", ".join(step.tools) or "no tool"
        waits = f", after {', '.join(step.after)}" if step.after else ""
        yield f"    {step.capability}, {tools}{waits}"
