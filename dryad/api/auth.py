"""Who calls, for which tenant, and whether they may."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dryad.api.edge import Edge
from dryad.foundation.errors import NotFound, Unauthenticated
from dryad.foundation.ids import TenantId
from dryad.foundation.keys import Caller, Scope
from dryad.foundation.logs import bound

_bearer = HTTPBearer(auto_error=False, description="A key made by `dryad keys create`")

Chosen = Annotated[
    str | None,
    Query(
        description="Tenant to act for; default the key's own. Others need an operator key.",
        max_length=64,
        examples=["default"],
    ),
]


@dataclass(frozen=True)
class Access:
    """What an authenticated caller acts with."""

    edge: Edge
    caller: Caller
    tenant: TenantId

    @property
    def actor(self) -> str:
        """How audit and tasks name the caller."""
        return f"key:{self.caller.key_id}"

    def tenant_or(self, named: str | None) -> TenantId:
        """Return the tenant a body names, or the one of the request.

        Raises:
            NotFound: the caller does not see it.
        """
        return _visible(self.caller, named) if named else self.tenant


class Needs:
    """A dependency that lets callers with one scope pass."""

    def __init__(self, scope: Scope) -> None:
        self._scope: Scope = scope

    async def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        tenant: Chosen = None,
    ) -> AsyncGenerator[Access]:
        """Recognise the caller; what is said meanwhile is said of their tenant.

        Raises:
            Unauthenticated: no valid key.
            NotFound: the tenant is not the caller's.
            Refused: the key is not for this scope.
        """
        edge: Edge = request.app.state.edge
        if credentials is None:
            raise Unauthenticated("this needs a key")
        caller = await run_in_threadpool(edge.services.keys.authenticate, credentials.credentials)
        exchange = request.state.exchange
        exchange.key, exchange.tenant = caller.key_id, caller.tenant
        chosen = _visible(caller, tenant) if tenant else caller.tenant
        exchange.tenant = chosen
        caller.require(self._scope)
        with bound(tenant=chosen):
            yield Access(edge, caller, chosen)


def _visible(caller: Caller, tenant: str) -> TenantId:
    if not caller.sees(tenant):
        raise NotFound(f"there is no tenant {tenant[:80]!r}")
    return TenantId(tenant)


TaskReader = Annotated[Access, Depends(Needs("tasks:read"))]
TaskWriter = Annotated[Access, Depends(Needs("tasks:write"))]
Reviewer = Annotated[Access, Depends(Needs("review"))]
Rememberer = Annotated[Access, Depends(Needs("memory"))]
Admin = Annotated[Access, Depends(Needs("admin"))]
Operator = Annotated[Access, Depends(Needs("operator"))]
