"""The kill switch, from the Prefect UI: stop a run, a tool, an agent, a tenant or everything."""

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from dryad.foundation.errors import InvalidRequest, NotFound, Refused
from tasks.foundation import lift, publish_stops, stop


class StopForm(BaseModel):
    """What an operator fills in."""

    action: Literal["stop", "lift"] = Field(title="Action")
    scope: str = Field(
        title="Scope",
        description="global, tenant:<id>, agent:<id>, tool:<name> or run:<flow run id>",
    )
    reason: str = Field(title="Reason", description="Shown to everybody who is refused.")
    tenant: str = Field("default", title="Tenant", description="Whose agent, tool or run it is.")
    confirm: str = Field(
        "", title="Confirm", description="To lift, type the scope again. Empty to stop."
    )
    by: str = Field("", title="Your id", description="As a reviewer; else a name, unverified.")
    code: str = Field(
        "",
        title="Code",
        description="To lift, once reviewers are enrolled: what `dryad lift SCOPE --code-for-form` "
        "says. It is good for nothing else.",
    )


@flow(name="stop-or-lift", flow_run_name="{request.action}-{request.scope}")
async def stop_or_lift(request: StopForm) -> State[Any]:
    """Put a stop in force, or lift one; the next step of every agent obeys."""
    if request.action == "lift" and request.confirm != request.scope:
        return Completed(
            name="Refused", message=f"to lift, type the scope into Confirm: {request.scope}"
        )
    try:
        if request.action == "stop":
            by = f"{request.by or 'ui'} (unverified)"
            await stop(request.tenant, request.scope, request.reason, by)
        else:
            await lift(request.tenant, request.scope, request.reason, request.by, request.code)
    except (InvalidRequest, NotFound, Refused) as error:
        return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
    await publish_stops()
    return Completed(message=f"{request.action}: {request.scope}")
