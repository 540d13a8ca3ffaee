"""Every wired object of a process: opened lazily, once, closed together.

It obeys the adapters that were chosen when the installation started (`dryad.adapters`), so that two
processes never disagree about where the data is.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, cast

from dryad import adapters
from dryad.execution.agents import Agents
from dryad.execution.catalogue import provision_catalogue
from dryad.execution.direct import DirectCalls
from dryad.execution.mcp import McpServers, ServersFile
from dryad.execution.models.providers import Models
from dryad.execution.outside import Outside
from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.bubblewrap import BubblewrapSandbox
from dryad.execution.sandbox.namespaces import NamespaceSandbox
from dryad.execution.sandbox.pool import Pool
from dryad.execution.sandbox.port import Sandbox, SandboxRequest, SandboxResult
from dryad.execution.telling import Teller
from dryad.execution.toolbox import Toolbox
from dryad.execution.volumes import Volumes
from dryad.foundation import logs
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.ids import TenantId
from dryad.foundation.own_ports import own_ports
from dryad.foundation.settings import Settings
from dryad.memory.erasure import Erasure
from dryad.memory.ingest import Ingestion
from dryad.memory.parsing.parsers import Parsers
from dryad.memory.recollection import Recollection
from dryad.operations.backups.installed import backups_of
from dryad.operations.backups.sets import Backups
from dryad.operations.health import Health
from dryad.operations.moments.installed import moments_of
from dryad.operations.moments.pruning import Moments
from dryad.operations.objectives import SAFEGUARD_EVERY
from dryad.orchestration.decisions import Decisions
from dryad.orchestration.endings import Endings
from dryad.orchestration.hybrid import HybridOrchestrator
from dryad.orchestration.recalibration import Recalibrations
from dryad.orchestration.requests import TaskLimits
from dryad.orchestration.review.cases import Cases
from dryad.orchestration.review.consents import Consents
from dryad.orchestration.review.lifting import Lifting
from dryad.orchestration.review.plans import EditedPlans
from dryad.orchestration.review.proofs import Proofs
from dryad.orchestration.review.quality import Reviews
from dryad.orchestration.review.questions import StoredAnswers
from dryad.orchestration.review.reviewers import Patience, Reviewers
from dryad.orchestration.review.talk import Talk
from dryad.orchestration.task_force import TaskForces
from dryad.orchestration.tasks import Tasks
from dryad.wiring.memory import MemoryServices

log = logs.get_logger("bootstrap")


class Services(MemoryServices):
    """The services of one process. Make it after a fork, never before; close it at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        answers: StoredAnswers,
        component: str,
        clock: Clock = utc_now,
        model_keys: Callable[[str], str | None] = lambda _provider: None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: What this installation was given.
            answers: Where answers given in forms lie.
            component: Name of this process in the logs: api, keeper, run, cli.
            clock: Tells the time.
            model_keys: Knows the keys of model providers that the settings do not name.
        """
        super().__init__(settings, component=component, clock=clock)
        self._answers = answers
        self._model_keys = model_keys

    # -- level 1, and what memory is reached with

    @cached_property
    def agents(self) -> Agents:
        """The agent registry."""
        return Agents(self.database, self.clock, audit=self.audit)

    @cached_property
    def models(self) -> Models:
        """The language models agents think with."""
        return adapters.models(
            self.settings,
            self._model_keys,
            lambda tenant: self.policies.current(TenantId(tenant)).providers,
        )

    @cached_property
    def teller(self) -> Teller | None:
        """What describes notes better than rules, where a model was asked for and may answer."""
        if not self.settings.describe_notes or self.models.degraded:
            return None
        most = self.settings.max_note_tokens
        return Teller(self.models.model_for, self.budgets, self.stops, most_tokens=most)

    @cached_property
    def sandbox(self) -> Sandbox:
        """Where code of agents runs, with processes that wait for it."""
        chosen = self.bare_sandbox()
        if not isinstance(chosen, BubblewrapSandbox | NamespaceSandbox):
            return chosen
        pool = Pool(chosen)
        self._closing.append(lambda: _in_a_loop(pool.close))
        return pool

    def bare_sandbox(self) -> Sandbox:
        """Return the rung chosen when the installation started."""
        recorded = self.installation.adapters().get("sandbox", self.settings.sandbox)
        return ladder.choose(cast("adapters.Rung", recorded))

    @cached_property
    def outside(self) -> Outside:
        """The way to servers outside."""
        return Outside(own_ports=own_ports(self.settings))

    @cached_property
    def toolbox(self) -> Toolbox:
        """What the built-in tools really do."""
        return Toolbox(
            find=self.coordinator.find,
            shelve=self.librarian.shelve,
            run_code=self._run_code,
            workspaces=self.settings.home / "workspaces",
            mailbox=self.settings.home / "mailbox",
            outside=self.outside,
            mcp=McpServers(
                ServersFile(self.settings.home / "mcp.json"),
                self.outside,
                sandbox=lambda: self.sandbox,
                limits=adapters.sandbox_limits(self.settings),
            ),
            volumes=self.volumes,
            recent=self.archivist,
            clock=self.clock,
        )

    @cached_property
    def volumes(self) -> Volumes:
        """What stateful tools keep."""
        root, most = self.settings.home / "volumes", self.settings.volume_bytes
        return Volumes(self.database, root, most_bytes=most, clock=self.clock)

    @cached_property
    def direct_calls(self) -> DirectCalls:
        """Calls of tools outside any run."""
        return DirectCalls(
            self.agents, self.tools, self.toolbox, self.tool_history,
            self.policies, self.stops, self.audit,
        )  # fmt: skip

    async def _run_code(self, code: str, files: Mapping[str, bytes]) -> SandboxResult:
        limits = adapters.sandbox_limits(self.settings)
        sandbox = await asyncio.to_thread(lambda: self.sandbox)
        return await sandbox.run(SandboxRequest(code=code, files=files, limits=limits))

    def provide_tenant(self, tenant: TenantId) -> None:
        """Give a tenant the built-in tools and agents it does not have yet."""
        provision_catalogue(tenant, tools=self.tools, agents=self.agents)

    @cached_property
    def ingestion(self) -> Ingestion:
        """Reads files and pages into long-term memory."""
        allowed = adapters.ingestible(self.settings)
        return Ingestion(self.librarian, Parsers(self._run_code), self.outside, allowed)

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
        most = self.settings.max_force_messages
        return TaskForces(self.database, most_messages=most, clock=self.clock)

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
    def talk(self) -> Talk:
        """Messages about questions."""
        return Talk(self.database, self.audit, self.clock)

    @cached_property
    def reviews(self) -> Reviews:
        """How people review."""
        return Reviews(self.database, self.clock)

    @cached_property
    def endings(self) -> Endings:
        """How tasks end."""
        return Endings(self.database, self.tasks, self.agents, self.forces)

    @cached_property
    def proofs(self) -> Proofs:
        """Codes for what is no question."""
        return Proofs(
            self.database, self.reviewers, secret=self.secrets.review_secret,
            epoch=self.installation.epoch(), clock=self.clock,
        )  # fmt: skip

    @cached_property
    def lifting(self) -> Lifting:
        """Who may lift a stop."""
        return Lifting(self.stops, self.proofs)

    @cached_property
    def consents(self) -> Consents:
        """Who may let a set replace everything."""
        return Consents(self.proofs)

    @cached_property
    def edited_plans(self) -> EditedPlans:
        """Plans that people wrote."""
        return EditedPlans(self.agents, self.tools, most_steps=self.settings.max_plan_steps)

    @cached_property
    def cases(self) -> Cases:
        """Questions to people."""
        return Cases(
            self.database, self.audit, self._answers, policies=self.policies,
            reviewers=self.reviewers, plans=self.edited_plans,
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
            most_steps=self.settings.max_plan_steps,
        )

    @cached_property
    def erasure(self) -> Erasure:
        """Forgets for good."""
        return Erasure(
            self.database,
            self.archivist,
            self.librarian,
            self.memory_policies,
            self.audit,
            backups=self._held_by_backups,
            mirrors=self._held_by_mirrors,
            clock=self.clock,
        )

    # -- operations

    @cached_property
    def backups(self) -> Backups:
        """What is kept of the installation."""
        return backups_of(self.settings, proofs=[self._remembered], clock=self.clock)

    @cached_property
    def moments(self) -> Moments:
        """What leads back to any moment of a window, with PostgreSQL."""
        return moments_of(self.settings, self.clock)

    def _held_by_backups(self) -> list[str]:
        """Tell of every set, base backup and archive what it is, and how long it stays."""
        told = [one.told(self.backups.keep) for one in self.backups.listed()]
        if not self.database.is_sqlite:
            window = self.settings.moments_window
            told += [one.told(window) for one in self.moments.bases.listed()]
        if self.settings.wal_archive is not None:
            told.append(
                f"{self.settings.wal_archive}: WAL stays as long as a base backup here needs it"
            )
        return told

    def _remembered(self, url: str) -> list[str]:
        """Prove a restored memory; only then is it asked what the live one is like."""
        chosen, name = self.installation.adapters(), f"verify{self.installation.epoch()}"
        index = partial(adapters.chroma_index, self.settings, name)
        recent = partial(adapters.redis_mirror, self.settings, name)
        proof = Recollection(
            self.embedder,
            index if chosen.get("index") == "chroma" else None,
            recent if chosen.get("recent") == "redis" else None,
        )
        return proof(url)

    @cached_property
    def health(self) -> Health:
        """How the installation is."""
        return Health(self.database, self.clock, periods={"backups": SAFEGUARD_EVERY})


def _in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do async work to its end from anywhere, in a loop or not."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()
