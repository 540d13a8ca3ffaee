"""What each step of an agent asks of kill switches and budgets, and what it tells them."""

from dataclasses import dataclass
from typing import Any

from dryad.execution.episodes import Usage
from dryad.execution.guard import Kind
from dryad.foundation.accounts import Amounts, accounts_of
from dryad.foundation.errors import LimitExceeded
from dryad.orchestration.tasks import Task
from tasks._journal import carried_run
from tasks._services import services


@dataclass(frozen=True)
class Governed:
    """The guard of one agent's part of a task; see `Guard`."""

    work: Task
    agent: str
    accounts: tuple[str, ...]

    @classmethod
    def of(cls, work: Task, agent: str, member: str) -> "Governed":
        """Open the accounts that a member's steps are charged to."""
        accounts = paying(work, member)
        services().budgets.open(accounts, {accounts[-2]: caps(work)})
        return cls(work, agent, accounts)

    def check(self, kind: Kind, name: str) -> None:
        """Refuse what is stopped; see `Stops.check`."""
        services().stops.check(
            self.work.tenant,
            agent=self.agent,
            tool=name if kind == "tool" else None,
            run=carried_run().id,
        )

    def reserve(self, kind: Kind, most: Usage) -> str:
        """Hold what the step may use, in all its accounts; see `Budgets.reserve`."""
        return services().budgets.reserve(self.accounts, _amounts(kind, most, time=False)).id

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        """Charge what the step used; see `Budgets.settle`."""
        charged = None if used is None else _amounts(kind, used, time=True)
        services().budgets.settle(ticket, charged)


@dataclass(frozen=True)
class NoMore:
    """Lets nothing happen that is not recorded: the episode ends where its record does."""

    fault: str

    def check(self, kind: Kind, name: str) -> None:  # noqa: ARG002
        """Stop the agent."""
        raise LimitExceeded(f"no attempt came through: {self.fault}")

    def reserve(self, kind: Kind, most: Usage) -> str:  # noqa: ARG002
        """Nothing gets this far."""
        raise LimitExceeded(self.fault)

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        """Nothing was reserved."""


def paying(work: Task, member: str = "") -> tuple[str, ...]:
    """Return the accounts that pay for a task, or for one member's part of it."""
    project = str(work.budget.get("project", ""))
    return accounts_of(work.tenant, project=project, task=work.id, agent=member)


def caps(work: Task) -> dict[str, Any]:
    """Return what a task may use at most, all its members together."""
    settings = services().settings
    return {
        "tokens": work.budget.get("tokens", settings.max_tokens),
        "cost_usd": work.budget.get("cost_usd", settings.max_cost_usd),
    }


def _amounts(kind: Kind, usage: Usage, *, time: bool) -> Amounts:
    counted: Amounts = {
        "tokens": usage.tokens,
        "cost_usd": usage.cost_usd,
        "requests" if kind == "model" else "tool_calls": usage.steps,
    }
    return {**counted, "wall_seconds": usage.seconds} if time else counted
