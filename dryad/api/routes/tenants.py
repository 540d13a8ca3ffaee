"""Tenants: whose data there is."""

from datetime import datetime

from fastapi import APIRouter

from dryad.api.auth import Admin, Operator
from dryad.api.shapes import Incoming, Line, Name, Outgoing, Page, Ref
from dryad.foundation.errors import NotFound

router = APIRouter(prefix="/tenants", tags=["tenants"])


class TenantIn(Incoming):
    """A new tenant; its id never changes."""

    id: Name
    name: Line


class TenantOut(Outgoing):
    """A tenant."""

    id: str
    name: str
    status: str
    created: datetime


@router.get("")
def list_tenants(access: Admin) -> Page[TenantOut]:
    """List the tenants the caller sees: their own, or with an operator key all."""
    found = access.edge.services.tenants.list()
    return Page[TenantOut](
        items=[TenantOut.model_validate(item) for item in found if access.caller.sees(item.id)]
    )


@router.get("/{tenant_id}")
def show(tenant_id: Ref, access: Admin) -> TenantOut:
    """Show one tenant."""
    if not access.caller.sees(tenant_id):
        raise NotFound(f"there is no tenant {tenant_id!r}")
    return TenantOut.model_validate(access.edge.services.tenants.get(tenant_id))


@router.post("", status_code=201)
def create(body: TenantIn, access: Operator) -> TenantOut:
    """Add a tenant, with the built-in tools and agents."""
    services = access.edge.services
    made = services.tenants.create(body.id, body.name)
    services.provide_tenant(made.id)
    return TenantOut.model_validate(made)
