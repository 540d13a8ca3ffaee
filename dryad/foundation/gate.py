"""What the validation of level 0 proves on a running installation."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dryad.foundation import logs
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database, migrate
from dryad.foundation.errors import NotFound, Refused
from dryad.foundation.ids import TenantId
from dryad.foundation.logs.reader import Filter, read
from dryad.foundation.policies import Policies
from dryad.foundation.tenants import Tenants
from dryad.foundation.tools import Tools, ToolSpec
from dryad.foundation.validation import AGENT, TENANT, Check

_EVENT = "validation_mark"
_FAKE = ToolSpec("validation-effect", "1", "Does nothing; made for the validation.", "reversible")

log = logs.get_logger("validation")


@dataclass(frozen=True)
class FoundationGate:
    """The checks of level 0."""

    database: Database
    audit: Audit
    tenants: Tenants
    tools: Tools
    policies: Policies
    logs: Path

    def checks(self) -> list[Check]:
        """Return them, in the order in which one explains the next."""
        return [
            Check("the schema is this code's", self._schema, "dryad db upgrade"),
            Check("what is logged is found", self._logged, "dryad config show"),
            Check("an agent without a grant is refused", self._denied, "dryad tools"),
            Check("every audit chain is whole", self._audited, "dryad audit verify"),
        ]

    def _schema(self) -> str:
        return "; ".join(migrate.check(self.database)[:3])

    def _logged(self) -> str:
        mark = secrets.token_hex(8)
        log.info(_EVENT, tenant=TENANT, trace=mark)
        page = read(self.logs, Filter(event=_EVENT, trace=mark, limit=1))
        return "" if page.entries else f"the line just written is not in {self.logs}"

    def _denied(self) -> str:
        """The same call is refused, allowed while granted, and refused again."""
        self.tools.provision(TENANT, [_FAKE])
        with suppress(NotFound):
            self.tools.revoke(TENANT, AGENT, _FAKE.name, by=AGENT)
        if self._permitted():
            return "a call was permitted that nobody granted"
        self.tools.grant(TENANT, AGENT, _FAKE.name, by=AGENT)
        granted = self._permitted()
        self.tools.revoke(TENANT, AGENT, _FAKE.name, by=AGENT)
        if not granted:
            return "a call was refused that was granted"
        return "a call was permitted after its grant was taken back" if self._permitted() else ""

    def _permitted(self) -> bool:
        try:
            policy = self.policies.current(TENANT)
            self.tools.permit(TENANT, AGENT, _FAKE.name, {}, policy=policy)
        except Refused:
            return False
        return True

    def _audited(self) -> str:
        self.audit.append(TENANT, "validated", actor=AGENT, subject="level 0")
        for tenant in self.tenants.list():
            found = self.audit.verify(tenant.id)
            if not found.intact:
                return f"{tenant.id}: {found.reason}"
        return ""


def prepare_tenant(tenants: Tenants, provide: Callable[[TenantId], None]) -> None:
    """See that the tenant of the validation exists, with the built-in tools and agents."""
    if TENANT not in {tenant.id for tenant in tenants.list()}:
        tenants.create(TENANT, "Validation")
    provide(TENANT)
