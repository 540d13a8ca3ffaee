"""Every wired object of a process: opened lazily, once, closed together.

It obeys the adapters that were chosen when the installation started (`dryad.adapters`), so that two
processes never disagree about where the data is.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, cast

from dryad import adapters
from dryad.execution.agents import Agents
from dryad.execution.catalogue import provision_catalogue
from dryad.execution.coordinator import Coordinator
from dryad.execution.direct import DirectCalls
from dryad.execution.mcp import McpServers, read_servers
from dryad.execution.models.providers import Models
from dryad.execution.outside import Outside
from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import Limits, Sandbox, SandboxRequest, SandboxResult
from dryad.execution.scribe import Scribe
from dryad.execution.toolbox import Toolbox
from dryad.foundation import logs
from dryad.foundation.audit import Audit
from dryad.foundation.budgets import Budgets
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.ids import TenantId
from dryad.foundation.installation import Installation
from dryad.foundation.journal import Journal
from dryad.foundation.keys import Keys
from dryad.foundation.own_ports import own_ports
from dryad.foundation.policies import Policies
from dryad.foundation.seal import Seal
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.foundation.stops import Stops
from dryad.foundation.tenants import Tenants
from dryad.foundation.tool_history import ToolHistory
from dryad.foundation.tools import Tools
from dryad.memory.archivist import Archivist
from dryad.memory.ingest import Ingestion
from dryad.memory.librarian import Librarian
from dryad.memory.minilm import MiniLM
from dryad.memory.mirroring.index import IndexCopy
from dryad.memory.mirroring.recent import RecentCopy
from dryad.memory.parsing.parsers import Parsers
from dryad.memory.recollection import recollection_problems
from dryad.operations.backups.installed import backups_of
from dryad.operations.backups.sets import Backups
from dryad.operations.health import Health
from dryad.orchestration.decisions import Decisions
from dryad.orchestration.endings import Endings
from dryad.orchestration.hybrid import HybridOrchestrator
from dryad.orchestration.recalibration import Recalibrations
from dryad.orchestration.requests import TaskLimits
from dryad.orchestration.review.cases import Cases
from dryad.orchestration.review.lifting import Lifting
from dryad.orchestration.review.plans import EditedPlans
from dryad.orchestration.review.quality import Reviews
from dryad.orchestration.review.questions import StoredAnswers
from dryad.orchestration.review.reviewers import Patience, Reviewers
from dryad.orchestration.task_force import TaskForces
from dryad.orchestration.tasks import Tasks

log = logs.get_logger("bootstrap")


class Services:
    """The services of one process. Make it after a fork, never before; close it at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        answers: StoredAnswers,
        component: str,
        clock: Clock = utc_now,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: What this installation was given.
            answers: Where answers given in forms lie.
            component: Name of this process in the logs: api, keeper, run, cli.
            clock: Tells the time.
        """
        self.settings = settings
        self.clock = clock
        self._answers = answers
        self._closing: list[Callable[[], None]] = []
        logs.configure(settings.logs_dir, component=component, level=settings.log_level)

    def close(self) -> None:
        """Close what was opened, newest first."""
        while self._closing:
            self._closing.pop()()

    # -- level 0

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of the installation."""
        return Secrets.create_or_read(self.settings.secrets_path)

    @cached_property
    def database(self) -> Database:
        """The ledger."""
        database = Database(
            self.settings.database,
            pool_size=self.settings.pool_size,
            overflow=self.settings.pool_overflow,
            timeout=self.settings.database_timeout,
        )
        self._closing.append(database.close)
        return database

    @cached_property
    def installation(self) -> Installation:
        """Epoch and adapters."""
        return Installation(self.database, clock=self.clock)

    @cached_property
    def journal(self) -> Journal:
        """Steps and leases of runs."""
        return Journal(self.database, clock=self.clock, lease=self.settings.lease)

    @cached_property
    def audit(self) -> Audit:
        """Who decided what."""
        anchor = self.settings.audit_anchor
        assert anchor is not None
        return Audit(self.database, self.secrets.audit_key, anchor, self.clock)

    @cached_property
    def tenants(self) -> Tenants:
        """Whose data it is."""
        return Tenants(self.database, self.clock)

    @cached_property
    def keys(self) -> Keys:
        """Bearer keys of the API."""
        return Keys(self.database, self.secrets.key_pepper, self.clock)

    @cached_property
    def policies(self) -> Policies:
        """What needs a person, per tenant."""
        return Policies(self.database, audit=self.audit, clock=self.clock)

    @cached_property
    def stops(self) -> Stops:
        """The kill switches."""
        return Stops(self.database, audit=self.audit, clock=self.clock)

    @cached_property
    def budgets(self) -> Budgets:
        """What may be used."""
        lease = self.settings.reservation_lease
        return Budgets(self.database, self.audit, lease=lease, clock=self.clock)

    @cached_property
    def tools(self) -> Tools:
        """The tool registry."""
        return Tools(self.database, self.clock, self.audit, Seal(self.secrets.sealing_key, "tools"))

    @cached_property
    def tool_history(self) -> ToolHistory:
        """What tools were called, and how that went."""
        return ToolHistory(self.database, self.clock)

    # -- levels 1 and 2

    @cached_property
    def agents(self) -> Agents:
        """The agent registry."""
        return Agents(self.database, self.clock)

    @cached_property
    def models(self) -> Models:
        """The language models agents think with."""
        return adapters.models(self.settings)

    @cached_property
    def sandbox(self) -> Sandbox:
        """Where code of agents runs: the rung chosen when the installation started."""
        recorded = self.installation.adapters().get("sandbox", self.settings.sandbox)
        chosen = ladder.choose(cast("adapters.Rung", recorded))
        if not isinstance(chosen, BubblewrapSandbox | NamespaceSandbox):
            return chosen
        pool = Pool(chosen)
        self._closing.append(lambda: _in_a_loop(pool.close))
        return pool

    @cached_property
    def outside(self) -> Outside:
        """The way to servers outside."""
        return Outside(own_ports=own_ports(self.settings))

    @cached_property
    def toolbox(self) -> Toolbox:
        """What the built-in tools really do."""
        return Toolbox(
            search=self.librarian,
            shelve=self.librarian.shelve,
            run_code=self._run_code,
            workspaces=self.settings.home / "workspaces",
            mailbox=self.settings.home / "mailbox",
            outside=self.outside,
            mcp=McpServers(read_servers(self.settings.home / "mcp.json"), self.outside),
            clock=self.clock,
        )

    @cached_property
    def direct_calls(self) -> DirectCalls:
        """Calls of tools outside any run."""
        return DirectCalls(
            self.agents, self.tools, self.toolbox, self.tool_history,
            self.policies, self.stops, self.audit,
        )  # fmt: skip

    async def _run_code(self, code: str, files: Mapping[str, bytes]) -> SandboxResult:
        limits = Limits(
            wall_seconds=self.settings.sandbox_time.total_seconds(),
            cpu_seconds=self.settings.sandbox_time.total_seconds(),
            memory_bytes=self.settings.sandbox_memory_bytes,
        )
        sandbox = await asyncio.to_thread(lambda: self.sandbox)
        return await sandbox.run(SandboxRequest(code=code, files=files, limits=limits))

    def provide_tenant(self, tenant: TenantId) -> None:
        """Give a tenant the built-in tools and agents it does not have yet."""
        provision_catalogue(tenant, tools=self.tools, agents=self.agents)

    @cached_property
    def recent_copy(self) -> RecentCopy | None:
        """The copy of short-term memory in Redis, where one was chosen."""
        if self.installation.adapters().get("recent") != "redis":
            return None
        mirror = adapters.redis_mirror(self.settings, self.installation.epoch())
        self._closing.append(mirror.close)
        return RecentCopy(self.database, mirror, clock=self.clock)

    @cached_property
    def index_copy(self) -> IndexCopy | None:
        """The copy of long-term memory's vectors in Chroma, where one was chosen."""
        if self.installation.adapters().get("index") != "chroma" or self.embedder is None:
            return None
        index = adapters.chroma_index(self.settings, self.installation.epoch())
        self._closing.append(index.close)
        return IndexCopy(self.database, index, self.embedder, clock=self.clock)

    @property
    def mirrors(self) -> dict[str, RecentCopy | IndexCopy]:
        """The copies of memory in other servers, by the server's name."""
        named = {"redis": self.recent_copy, "chroma": self.index_copy}
        return {name: copy for name, copy in named.items() if copy is not None}

    @cached_property
    def embedder(self) -> MiniLM | None:
        """What makes search find by meaning."""
        return adapters.embedder(self.settings)

    @cached_property
    def archivist(self) -> Archivist:
        """Short-term memory."""
        return Archivist(
            self.database,
            clock=self.clock,
            retention=self.settings.recent_retention,
            copy=self.recent_copy,
        )

    @cached_property
    def librarian(self) -> Librarian:
        """Long-term memory."""
        return Librarian(
            self.database, clock=self.clock, embedder=self.embedder, copy=self.index_copy
        )

    @cached_property
    def ingestion(self) -> Ingestion:
        """Reads files and pages into long-term memory."""
        allowed = adapters.ingestible(self.settings)
        return Ingestion(self.librarian, Parsers(self._run_code), self.outside, allowed)

    @cached_property
    def coordinator(self) -> Coordinator:
        """Routes requests for memory."""
        return Coordinator(self.archivist, self.librarian)

    @cached_property
    def scribe(self) -> Scribe:
        """Writes notes."""
        return Scribe(self.coordinator)

    # -- level 3

    @cached_property
    def tasks(self) -> Tasks:
        """What was asked for, and how it stands."""
        limits = TaskLimits(
            text_bytes=self.settings.max_task_bytes,
            context_bytes=self.settings.max_context_bytes,
            context_depth=self.settings.max_context_depth,
            tokens=self.settings.max_tokens,
            cost_usd=self.settings.max_cost_usd,
        )
        return Tasks(self.database, self.clock, audit=self.audit, limits=limits)

    @cached_property
    def decisions(self) -> Decisions:
        """Who does what, and why."""
        return Decisions(self.database, self.audit, clock=self.clock)

    @cached_property
    def recalibrations(self) -> Recalibrations:
        """Correct scores by a tenant's own labels."""
        return Recalibrations(self.decisions, self.tasks, self.policies)

    @cached_property
    def forces(self) -> TaskForces:
        """Task forces."""
        return TaskForces(self.database, clock=self.clock)

    @cached_property
    def reviewers(self) -> Reviewers:
        """Who may answer."""
        s = self.settings
        waits = Patience(s.code_failures_free, s.code_wait, s.code_wait_most, s.code_failures_alarm)
        return Reviewers(
            self.database, self.audit, secret=self.secrets.review_secret, patience=waits,
            clock=self.clock,
        )  # fmt: skip

    @cached_property
    def reviews(self) -> Reviews:
        """How people review."""
        return Reviews(self.database, self.clock)

    @cached_property
    def endings(self) -> Endings:
        """How tasks end."""
        return Endings(self.database, self.tasks, self.agents, self.forces)

    @cached_property
    def lifting(self) -> Lifting:
        """Who may lift a stop."""
        return Lifting(
            self.database, self.stops, self.reviewers, secret=self.secrets.review_secret,
            epoch=self.installation.epoch(), clock=self.clock,
        )  # fmt: skip

    @cached_property
    def cases(self) -> Cases:
        """Questions to people."""
        return Cases(
            self.database, self.audit, self._answers, policies=self.policies,
            reviewers=self.reviewers, plans=EditedPlans(self.agents, self.tools),
            secret=self.secrets.review_secret, epoch=self.installation.epoch(),
            deadline=self.settings.question_deadline, valid=self.settings.approval_valid,
            clock=self.clock,
        )  # fmt: skip

    @cached_property
    def orchestrator(self) -> HybridOrchestrator:
        """Routes a task."""
        return HybridOrchestrator(
            self.agents,
            self.tools,
            self.policies,
            self.stops,
            self.decisions,
            tokens=None if self.models.degraded else self.settings.max_tokens,
            language=None if self.models.degraded else self.models.model_for,
            critic=self.settings.critic,
        )

    # -- operations

    @cached_property
    def backups(self) -> Backups:
        """What is kept of the installation."""
        return backups_of(self.settings, proofs=[recollection_problems], clock=self.clock)

    @cached_property
    def health(self) -> Health:
        """How the installation is."""
        return Health(self.database, self.clock)


def _in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do async work to its end from anywhere, in a loop or not."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()
