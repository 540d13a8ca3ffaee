"""Whether a backup set restores: it is opened, restored into a scratch place and compared."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field

from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from tasks.operations import publish_sets, publish_verification, verify_set


class VerifyForm(BaseModel):
    """What an operator may choose."""

    set: str = Field("newest", title="Set", description="Its name, the beginning of it, or newest.")


@flow(name="verify-backup", flow_run_name="verify-{request.set}")
async def verify_backup(request: VerifyForm) -> State[Any]:
    """Prove that a set restores; what is wrong with it is named, and it counts as bad."""
    try:
        found = await verify_set(request.set)
    except (InvalidRequest, NotFound, Refused, Conflict) as error:
        return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
    await publish_verification(found)
    await publish_sets()
    if not found.good:
        return Failed(message=f"set {found.set} does not restore: {'; '.join(found.problems)}")
    return Completed(message=f"set {found.set} restores")
