"""A backup set: both databases, the files and the settings, sealed, in every target."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, Field

from dryad.foundation.errors import Conflict, InvalidRequest
from dryad.operations.backups.making import Purpose
from dryad.operations.backups.manifest import Part
from tasks.operations import (
    abandon_set,
    begin_bar,
    begin_set,
    keep_part,
    move_bar,
    prune_moments,
    prune_sets,
    publish_parts,
    publish_set,
    publish_sets,
    set_parts,
)


class BackupForm(BaseModel):
    """What an operator may choose."""

    critical: bool = Field(
        False, title="Critical", description="Keep it for ever: before a major upgrade."
    )
    reason: str = Field("", title="Reason", description="Needed when critical; shown in the list.")
    prune: bool = Field(
        False,
        title="Prune",
        description="Then remove sets, base backups and WAL that the retention lets go.",
    )
    kind: str = Field("on-demand", title="Kind", description="What the list calls it.")


@flow(name="back-up", flow_run_name="back-up-{request.kind}")
async def back_up(request: BackupForm) -> State[Any]:
    """Keep a set in every target; writers go on, and what is not whole is never visible."""
    try:
        purpose = Purpose(kind=request.kind, critical=request.critical, reason=request.reason)
        making = await begin_set(purpose)
    except (InvalidRequest, Conflict) as error:
        return Completed(name="Refused", message=f"{error.message}. {error.next_step}")
    try:
        bar, names = await begin_bar("Parts kept"), set_parts()
        parts: list[Part] = []
        for name in names:
            parts.append(await keep_part(making, name))
            await move_bar(bar, len(parts), len(names))
        made = await publish_set(making, parts)
    finally:
        await abandon_set(making)  # what was published stays
    await publish_parts(made)
    removed = "nothing removed"
    if request.prune:
        removed = f"{len(await prune_sets())} old sets removed"
        removed += f", {bases} base backups" if (bases := await prune_moments()) else ""
    await publish_sets()
    if made.failed:
        return Failed(message=f"set {made.manifest.id} has no copy in {', '.join(made.failed)}")
    return Completed(message=f"set {made.manifest.id}; {removed}")
