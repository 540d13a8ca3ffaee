"""Who can do what, and how well it went: the agent registry of every tenant."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, cast, get_args

from sqlalchemy import Table, func, select, update
from sqlalchemy.exc import IntegrityError

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import AgentRow
from dryad.foundation.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from dryad.foundation.ids import TenantId, checked_name
from dryad.foundation.schemas import as_json

AgentStatus = Literal["active", "inactive", "maintenance", "error"]

_AGENTS = cast("Table", AgentRow.__table__)

_Z = 1.96
"""Standard normal quantile of a 95 % interval."""

_IMAGINED = 2
"""Successes a new agent is credited with, so that it is tried at all."""

_BUSY = 4
"""Tasks under way that halve an agent's rank."""

_DEAR_USD = 1.0
"""Mean cost of a task that halves an agent's rank."""

_BONUS = 0.3
"""How much capabilities beyond the required ones can add to a rank, as a share of it."""


@dataclass(frozen=True)
class AgentSpec:
    """An agent as it is registered.

    `capabilities` maps a name to a proficiency in [0, 1]. `model` is `{provider, model}`, or empty
    for the installation's.
    """

    id: str
    name: str
    role: str
    goal: str
    instructions: str
    capabilities: Mapping[str, float]
    model: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Agent(AgentSpec):
    """A registered agent, with its measured history."""

    status: AgentStatus = "active"
    runs: int = 0
    successes: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    created: datetime | None = None

    @property
    def mean_seconds(self) -> float:
        """Working time of a task, on average; 0 before the first."""
        return self.seconds / self.runs if self.runs else 0.0

    @property
    def mean_cost_usd(self) -> float:
        """What a task costs on average; 0 before the first."""
        return self.cost_usd / self.runs if self.runs else 0.0

    @property
    def reliability(self) -> float:
        """What its history lets one expect, in [0, 1]; see `reliability`."""
        return reliability(self.successes, self.runs)

    @property
    def health(self) -> Literal["unmeasured", "healthy", "degraded", "unhealthy"]:
        """Measured: unhealthy when it fails most of at least three runs, degraded below 4 in 5."""
        if self.runs < 3:
            return "unmeasured"
        share = self.successes / self.runs
        return "healthy" if share >= 0.8 else "degraded" if share >= 0.5 else "unhealthy"


class Agents:
    """The agents of every tenant."""

    def __init__(
        self,
        database: Database,
        clock: Clock = utc_now,
        *,
        limit: int = 1000,
        audit: Audit | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._audit = audit

    def register(self, tenant: TenantId, spec: AgentSpec) -> Agent:
        """Store a new agent.

        Raises:
            InvalidRequest: a name or proficiency is wrong.
            Conflict: the tenant has an agent of that id.
            LimitExceeded: the tenant has as many as it may.
            NotFound: there is no such tenant.
        """
        values = _checked(spec)
        try:
            with self._database.transaction() as session:
                count = session.scalar(
                    select(func.count()).select_from(AgentRow).where(AgentRow.tenant == tenant)
                )
                if (count or 0) >= self._limit:
                    raise LimitExceeded(f"a tenant may have {self._limit} agents")
                row = AgentRow(tenant=tenant, status="active", created=self._clock(), **values)
                row.runs = row.successes = row.tokens = 0
                row.cost_usd = row.seconds = 0.0
                session.add(row)
                session.flush()
                return _agent(row)
        except IntegrityError as error:
            if self._exists(tenant, spec.id):
                raise Conflict(f"there is an agent {spec.id} already") from error
            raise NotFound(f"no tenant {tenant}") from error

    def provision(self, tenant: TenantId, specs: Collection[AgentSpec]) -> None:
        """Register those of `specs` the tenant does not have yet."""
        for spec in specs:
            if not self._exists(tenant, spec.id):
                self.register(tenant, spec)

    def get(self, tenant: TenantId, agent: str) -> Agent:
        """Return one agent.

        Raises:
            NotFound: the tenant has no such agent.
        """
        with self._database.reading() as session:
            row = session.get(AgentRow, (tenant, agent))
            if row is None:
                raise NotFound(f"no agent {agent[:80]}", "`dryad agents list` shows who there is.")
            return _agent(row)

    def change(
        self,
        tenant: TenantId,
        agent: str,
        *,
        goal: str | None = None,
        capabilities: Mapping[str, float] | None = None,
        status: AgentStatus | None = None,
        by: str = "system",
    ) -> Agent:
        """Change what may change of an agent; None leaves it.

        Its id, role, instructions and model are what it is: another of these is another agent.

        Args:
            tenant: Whose agent.
            agent: Which.
            goal: What it is for, in words.
            capabilities: All it can do, each with its proficiency in [0, 1].
            status: Whether it may be chosen: only who is `active` is.
            by: Who changes it; recorded.

        Raises:
            InvalidRequest: a capability, proficiency or status is wrong.
            NotFound: the tenant has no such agent.
        """
        if status is not None and status not in get_args(AgentStatus):
            raise InvalidRequest(f"an agent's status is one of {', '.join(get_args(AgentStatus))}")
        if capabilities is not None:
            _check_capabilities(capabilities)
        given = {"goal": goal, "capabilities": capabilities, "status": status}
        values = {name: value for name, value in given.items() if value is not None}
        if values:
            self._update(tenant, agent, by=by, **values)
        return self.get(tenant, agent)

    def set_status(
        self, tenant: TenantId, agent: str, status: AgentStatus, *, by: str = "system"
    ) -> Agent:
        """Let an agent be chosen (`active`) or not (everything else); see `change`."""
        return self.change(tenant, agent, status=status, by=by)

    def finished(
        self,
        tenant: TenantId,
        agent: str,
        *,
        success: bool,
        tokens: int,
        cost_usd: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        """Count one ended task, in one statement, so that processes never lose each other's.

        Args:
            tenant: Whose agent.
            agent: Who did it.
            success: Whether it came to an answer that stood.
            tokens: What it used.
            cost_usd: What that cost.
            seconds: Its working time, no waiting.

        Raises:
            NotFound: the tenant has no such agent.
        """
        self._update(
            tenant,
            agent,
            runs=AgentRow.runs + 1,
            successes=AgentRow.successes + int(success),
            tokens=AgentRow.tokens + tokens,
            cost_usd=AgentRow.cost_usd + cost_usd,
            seconds=AgentRow.seconds + seconds,
        )

    def discover(
        self,
        tenant: TenantId,
        capabilities: Collection[str],
        *,
        optional: Collection[str] = (),
        load: Mapping[str, int] | None = None,
        limit: int = 20,
    ) -> list[Agent]:
        """Return the active agents that have every capability, best first; see `rank`.

        Args:
            tenant: Whose agents.
            capabilities: What they must be able to do.
            optional: What is welcome beside it.
            load: Tasks each agent has under way; who is not named has none.
            limit: At most so many.

        Raises:
            InvalidRequest: something that cannot name a capability.
        """
        names = sorted({checked_name(name, what="a capability") for name in capabilities})
        welcome = sorted({checked_name(name, what="a capability") for name in optional})
        able = [_AGENTS.c.capabilities[name].as_float() for name in names]
        more = [_AGENTS.c.capabilities[name].as_float() for name in welcome]
        here = _AGENTS.c
        query = select(here.id, here.successes, here.runs, here.cost_usd, *able, *more).where(
            here.tenant == tenant,
            here.status == "active",
            *(proficiency > 0 for proficiency in able),
        )
        with self._database.reading() as session:
            candidates = session.connection().execute(query).all()
            chosen = _best(candidates, len(names), load=load or {})[:limit]
            rows = session.scalars(
                select(AgentRow).where(AgentRow.tenant == tenant, AgentRow.id.in_(chosen))
            )
            found = {row.id: _agent(row) for row in rows}
        return [found[agent] for agent in chosen]

    def _exists(self, tenant: TenantId, agent: str) -> bool:
        with self._database.reading() as session:
            return session.get(AgentRow, (tenant, agent)) is not None

    def _update(self, tenant: TenantId, agent: str, *, by: str = "", **values: Any) -> None:
        statement = (
            update(AgentRow)
            .where(AgentRow.tenant == tenant, AgentRow.id == agent)
            .values(**values)
            .returning(AgentRow.id)
        )
        with self._database.transaction() as session:
            if session.execute(statement).scalar_one_or_none() is None:
                raise NotFound(f"no agent {agent[:80]}", "`dryad agents list` shows who there is.")
            if by and self._audit is not None:
                self._audit.append(
                    tenant, "agent_changed", actor=by, subject=f"agent:{agent}", data=values,
                    session=session,
                )  # fmt: skip

    # -- last, because its name hides the builtin below it

    def list(self, tenant: TenantId) -> list[Agent]:
        """Return every agent of the tenant, by id."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(AgentRow).where(AgentRow.tenant == tenant).order_by(AgentRow.id)
            )
            return [_agent(row) for row in rows]


def rank(
    proficiency: float,
    *,
    successes: int,
    runs: int,
    cost_usd: float = 0.0,
    load: int = 0,
    bonus: float = 0.0,
) -> float:
    """Return how far an agent should be preferred, in [0, 1).

    A product, so that neither a claim nor a history alone decides, and so that it never saturates:
    whoever is better in one thing and equal in the others ranks higher, however good all are.

    Args:
        proficiency: What it claims for the least of the required capabilities, in [0, 1].
        successes: Tasks it did well.
        runs: Tasks it did.
        cost_usd: What all of them cost.
        load: Tasks it has under way.
        bonus: Mean proficiency in what is welcome beside, in [0, 1].
    """
    thrift = 1 / (1 + cost_usd / runs / _DEAR_USD) if runs else 1.0
    leisure = 1 / (1 + load / _BUSY)
    wanted = proficiency * (1 + _BONUS * bonus) / (1 + _BONUS)
    return wanted * reliability(successes, runs) * leisure * thrift


@lru_cache(maxsize=10_000)
def reliability(successes: int, runs: int) -> float:
    """Return the lower end of Wilson's 95 % interval for the share of successes, in (0, 1).

    Two imagined successes are added, so that a new agent (0.34) ranks below one that proved itself
    and above one that only failed.

    Source:
        Wilson, JASA 22 (1927).
    """
    n, share = runs + _IMAGINED, (successes + _IMAGINED) / (runs + _IMAGINED)
    middle = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return (middle - spread) / (1 + _Z**2 / n)


def _best(
    candidates: Sequence[Sequence[Any]], required: int, *, load: Mapping[str, int]
) -> list[str]:
    """Return the ids of candidates, best first; equals by id.

    Args:
        candidates: Id, successes, runs and cost of each, then its proficiency in what is required
            and in what is welcome beside it; there None where it has none.
        required: How many of the proficiencies are required.
        load: Tasks under way.
    """
    first = 4 + required
    ranked = sorted(
        (
            -rank(
                min(row[4:first], default=1.0),
                successes=row[1],
                runs=row[2],
                cost_usd=row[3],
                load=load.get(row[0], 0),
                bonus=sum(value or 0.0 for value in row[first:]) / max(1, len(row) - first),
            ),
            row[0],
        )
        for row in candidates
    )
    return [agent for _, agent in ranked]


def _checked(spec: AgentSpec) -> dict[str, Any]:
    checked_name(spec.id, what="an agent's id")
    checked_name(spec.role, what="an agent's role")
    _check_capabilities(spec.capabilities)
    if unknown := sorted(set(spec.model) - {"provider", "model"}):
        raise InvalidRequest(f"an agent's model has `provider` and `model`, not {unknown[0]!r}")
    values = {name: getattr(spec, name) for name in AgentSpec.__dataclass_fields__}
    return as_json(values, what="the agent")


def _check_capabilities(capabilities: Mapping[str, float]) -> None:
    for name, proficiency in capabilities.items():
        checked_name(name, what="a capability")
        if not 0 <= proficiency <= 1:
            raise InvalidRequest(f"the proficiency of {name} must be in [0, 1], got {proficiency}")


def _agent(row: AgentRow) -> Agent:
    return Agent(**{name: getattr(row, name) for name in Agent.__dataclass_fields__})
