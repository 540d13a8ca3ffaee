"""Level 0, wired."""

from collections.abc import Callable
from functools import cached_property

from dryad.foundation import logs
from dryad.foundation.audit import Audit
from dryad.foundation.budgets import Budgets
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.installation import Installation
from dryad.foundation.journal import Journal
from dryad.foundation.keys import Keys
from dryad.foundation.policies import Policies
from dryad.foundation.seal import Seal
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.foundation.stops import Stops
from dryad.foundation.tenants import Tenants
from dryad.foundation.tool_history import ToolHistory
from dryad.foundation.tools import Tools


class Foundation:
    """Level 0 of one process, opened lazily; the levels above add to it."""

    def __init__(
        self,
        settings: Settings,
        *,
        component: str,
        clock: Clock = utc_now,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: What this installation was given.
            component: Name of this process in the logs: api, keeper, run, cli.
            clock: Tells the time.
        """
        self.settings = settings
        self.clock = clock
        self._closing: list[Callable[[], None]] = []
        logs.configure(settings.logs_dir, component=component, level=settings.log_level)

    def close(self) -> None:
        """Close what was opened, newest first."""
        while self._closing:
            self._closing.pop()()

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
