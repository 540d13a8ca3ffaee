"""Call a tool for an agent outside any run: by the same rules, and nothing that waits."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dryad.execution.agents import Agents
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Toolbox
from dryad.foundation.canonical import digest
from dryad.foundation.errors import InvalidRequest, NotFound, Refused, Unavailable
from dryad.foundation.grants import Trail
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.schemas import as_json
from dryad.foundation.tool_history import Called, Errand, Execution, Outcome, ToolHistory
from dryad.foundation.tools import ApprovalPolicy, Permit, Tools

_TASK = TaskId("direct")
"""The task of calls that belong to none: their files lie together, by tenant."""


class _Policies(Protocol):
    def current(self, tenant: TenantId) -> ApprovalPolicy: ...


class _Stops(Protocol):
    def check(
        self, tenant: str, agent: str | None = None, tool: str | None = None, run: str | None = None
    ) -> None: ...


@dataclass(frozen=True)
class DirectCalls:
    """Makes single calls in the name of an agent, for somebody who administers the tenant."""

    agents: Agents
    tools: Tools
    toolbox: Toolbox
    history: ToolHistory
    policies: _Policies
    stops: _Stops
    audit: Trail

    def call(
        self,
        tenant: TenantId,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        agent: str,
        by: str,
        key: str = "",
    ) -> tuple[Execution, ToolOutcome]:
        """Make one call now. Blocking; must not be called inside an event loop.

        Args:
            tenant: Whose tool and agent.
            tool: Its name; the newest active version is called.
            arguments: As its schema wants them.
            agent: In whose name: its grants count.
            by: Who wants it.
            key: Makes repeating the request harmless: one call a key. Default a new one.

        Returns:
            The call as the history has it, and what came of it.

        Raises:
            Refused: no grant, no leave of the policy, a stop, or a person would have to say yes.
            InvalidRequest: the arguments do not fit.
            NotFound: there is no such agent.
            Conflict: a call with this key was made already.
            Unavailable: nobody knows whether it happened.
        """
        errand = Errand(tenant, _TASK, agent)
        plain = as_json(arguments, what="the arguments")
        asked = digest({"tool": tool, "arguments": plain})
        key = key or secrets.token_hex(8)
        try:
            permit = self._permit(tenant, tool, plain, agent)
        except (Refused, InvalidRequest) as error:
            refused = Called(tool, "", asked, "refused", error.message)
            self.history.begin(errand, key=key, called=refused)
            raise
        begun = Called(tool, permit.spec.version, asked, "running")
        number = self.history.begin(errand, key=key, called=begun)
        about = {"agent": agent, "arguments": digest(permit.arguments), "call": number}
        self.audit.append(
            tenant, "tool_called", actor=by, subject=f"tool:{tool} {begun.version}", data=about
        )
        outcome = self._made(number, key, permit, errand)
        return self.history.find(tenant, number), outcome

    def _permit(self, tenant: TenantId, tool: str, plain: Any, agent: str) -> Permit:
        who = self.agents.get(tenant, agent)
        if who.status != "active":
            raise Refused(f"agent {agent} is {who.status}")
        self.stops.check(tenant, agent=agent, tool=tool)
        permit = self.tools.permit(
            tenant, agent, tool, plain, policy=self.policies.current(tenant), role=who.role
        )
        if permit.needs_approval:
            raise Refused(
                f"a person has to allow this call of {tool} first",
                f"Submit a task that needs it: `dryad run TEXT --agent {agent}` asks and waits.",
            )
        return permit

    def _made(self, number: int, key: str, permit: Permit, errand: Errand) -> ToolOutcome:
        started = time.monotonic()
        ended: Outcome = "doubtful"
        reason = "it ended with a fault"
        try:
            outcome = asyncio.run(self.toolbox.run(f"direct/{key}", permit, errand))
            ended, reason = ("failed" if outcome.failed else "done"), outcome.failed
        except (Refused, InvalidRequest, NotFound) as error:
            ended, reason = "refused", error.message
            raise
        except Unavailable as error:
            ended, reason = ("failed" if permit.spec.idempotent else "doubtful"), error.message
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.history.end(number, ended, reason=reason, seconds=seconds)
        return outcome
