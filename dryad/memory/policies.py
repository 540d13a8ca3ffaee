"""The policies of memory: shown, set, and kept in every version."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from dryad.execution.memory_policy import NO_RULES, MemoryPolicy
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import MemoryPolicyRow, TenantRow
from dryad.foundation.errors import Corrupt, InvalidRequest, NotFound
from dryad.foundation.ids import TenantId


class MemoryPolicies:
    """Keeps what each tenant lets its agents do with memory."""

    def __init__(self, database: Database, audit: Audit, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def current(self, tenant: TenantId) -> MemoryPolicy:
        """Return the policy in force; the empty one where none was set.

        Raises:
            Corrupt: the stored document cannot be read; nothing may be allowed by it.
        """
        with self._database.reading() as session:
            row = session.scalars(
                select(MemoryPolicyRow)
                .where(MemoryPolicyRow.tenant == tenant)
                .order_by(MemoryPolicyRow.version.desc())
                .limit(1)
            ).first()
        if row is None:
            return NO_RULES
        try:
            return MemoryPolicy.model_validate(row.document)
        except ValidationError as error:
            raise Corrupt(f"the memory policy {row.version} of {tenant!r} is malformed") from error

    def set(self, tenant: TenantId, document: dict[str, Any], *, by: str) -> int:
        """Put another policy in force; return its version, from 1.

        Raises:
            InvalidRequest: the document is malformed.
            NotFound: there is no such tenant.
        """
        try:
            policy = MemoryPolicy.model_validate(document)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise InvalidRequest(f"memory policy: {place}: {problem['msg']}") from error
        with self._database.transaction() as session:
            lock(session, f"memory-policy/{tenant}")
            if session.get(TenantRow, tenant) is None:
                raise NotFound(f"no tenant {tenant[:80]!r}")
            newest = session.scalar(
                select(MemoryPolicyRow.version)
                .where(MemoryPolicyRow.tenant == tenant)
                .order_by(MemoryPolicyRow.version.desc())
                .limit(1)
            )
            version = (newest or 0) + 1
            session.add(
                MemoryPolicyRow(
                    tenant=tenant,
                    version=version,
                    document=policy.model_dump(mode="json"),
                    author=by,
                    created=self._clock(),
                )
            )
            self._audit.append(
                tenant,
                "memory_policy_set",
                actor=by,
                subject=f"memory-policy:{version}",
                data=policy.model_dump(mode="json"),
                session=session,
            )
        return version
