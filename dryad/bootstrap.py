"""Services: every wired object, opened and closed here; the only place that chooses adapters."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property

from dryad.execution.agents import Agents
from dryad.foundation.audit import Audit
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.journal import Journal
from dryad.foundation.keys import Keys
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.foundation.tenants import Tenants
from dryad.foundation.tools import Tools
from dryad.operations.health import Health
from dryad.orchestration.decision import Decisions
from dryad.orchestration.review.cases import Cases
from dryad.orchestration.review.questions import StoredAnswers
from dryad.orchestration.tasks import TaskLimits, Tasks


class Services:
    """What this process works with; each part is opened on first use."""

    def __init__(self, settings: Settings, *, answers: StoredAnswers) -> None:
        """Wire nothing yet.

        Args:
            settings: Where this installation lives.
            answers: Where answers given in forms lie: the run client, which only edges know.
        """
        self.settings = settings
        self._answers = answers
        self._clock = utc_now
        self._started = utc_now()

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets of the installation."""
        return Secrets.create_or_read(self.settings.secrets_path)

    @cached_property
    def database(self) -> Database:
        """The ledger."""
        return Database(
            self.settings.database,
            pool_size=self.settings.pool_size,
            overflow=self.settings.pool_overflow,
            timeout=self.settings.database_timeout,
        )

    @cached_property
    def journal(self) -> Journal:
        """What already happened."""
        return Journal(self.database, clock=self._clock, lease=self.settings.lease)

    @cached_property
    def audit(self) -> Audit:
        """Who decided what."""
        anchor = self.settings.audit_anchor
        assert anchor is not None  # the settings resolve it
        return Audit(self.database, self.secrets.audit_key, anchor, self._clock)

    @cached_property
    def tenants(self) -> Tenants:
        """Whose data it is."""
        return Tenants(self.database, self._clock)

    @cached_property
    def keys(self) -> Keys:
        """Who may call."""
        return Keys(self.database, self.secrets.key_pepper, self._clock)

    @cached_property
    def tools(self) -> Tools:
        """What agents may call."""
        return Tools(self.database, self._clock, self.audit)

    @cached_property
    def agents(self) -> Agents:
        """Who does the work."""
        return Agents(self.database, self._clock)

    @cached_property
    def tasks(self) -> Tasks:
        """What was asked for."""
        settings = self.settings
        limits = TaskLimits(
            text_bytes=settings.max_task_bytes,
            context_bytes=settings.max_context_bytes,
            context_depth=settings.max_context_depth,
            tokens=settings.max_tokens,
            cost_usd=settings.max_cost_usd,
        )
        return Tasks(self.database, self._clock, audit=self.audit, limits=limits)

    @cached_property
    def decisions(self) -> Decisions:
        """Who does a task, and why."""
        return Decisions(self.database, self.audit, clock=self._clock)

    @cached_property
    def cases(self) -> Cases:
        """What people are asked."""
        return Cases(
            self.database,
            self.audit,
            self._answers,
            epoch="first",
            deadline=self.settings.question_deadline,
            clock=self._clock,
        )

    @cached_property
    def health(self) -> Health:
        """How the installation is."""
        return Health(self.database, self._clock, self._started)

    def close(self) -> None:
        """Give everything back that was opened."""
        if "database" in self.__dict__:
            self.database.close()


@contextmanager
def open_services(settings: Settings, *, answers: StoredAnswers) -> Generator[Services]:
    """Open the services of this process for the length of a block."""
    services = Services(settings, answers=answers)
    try:
        yield services
    finally:
        services.close()
