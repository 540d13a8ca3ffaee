"""Each level proves on the installation as it stands that it does what it is for."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field

from tasks.validation import built_levels, publish_validation, validate_level


class ValidationForm(BaseModel):
    """What an operator may choose."""

    levels: list[int] = Field([], title="Levels", description="Empty: all that are built.")


@flow(name="validate-levels", flow_run_name="validate")
async def validate_levels(request: ValidationForm) -> State[Any]:
    """Score each level; a check that does not hold fails the run and names what mends it."""
    unknown = sorted(set(request.levels) - set(built_levels()))
    if unknown:
        return Completed(name="Refused", message=f"there is no level {unknown[0]} to validate")
    wanted = sorted(set(request.levels)) or built_levels()
    found = [await validate_level(level) for level in wanted]
    await publish_validation(found)
    scores = ", ".join(f"level {one.level}: {one.percent} %" for one in found)
    if any(one.percent < 100 for one in found):
        return Failed(message=scores)
    return Completed(message=scores)
