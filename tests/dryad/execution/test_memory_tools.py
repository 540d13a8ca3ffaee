"""Agents remember values of their own for hours, and recall nobody else's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.catalogue import TOOLS
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.toolbox import Toolbox
from dryad.foundation.database import Database
from dryad.foundation.errors import InvalidRequest, Refused
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.tool_history import Errand
from dryad.foundation.tools import Permit
from dryad.memory.archivist import Archivist
from tests.dryad.execution.conftest import ACME, Shelf, run_here

SPECS = {spec.name: spec for spec in TOOLS}
ERRAND = Errand(ACME, TaskId("task-1"), "scout")


@pytest.fixture
def toolbox(tmp_path: Path, database: Database) -> Toolbox:
    shelf = Shelf()
    return Toolbox(
        find=shelf.find, shelve=shelf.shelve, run_code=run_here, workspaces=tmp_path,
        mailbox=tmp_path / "mailbox", recent=Archivist(database),
    )  # fmt: skip


async def use(
    toolbox: Toolbox, tool: str, errand: Errand = ERRAND, **arguments: Any
) -> ToolOutcome:
    permit = Permit(SPECS[tool], arguments, SPECS[tool].tier, needs_approval=False)
    return await toolbox.run("run/step#1", permit, errand)


async def recalled(toolbox: Toolbox, key: str, errand: Errand = ERRAND) -> dict[str, Any]:
    found = (await use(toolbox, "recall", errand, key=key)).value["values"]
    return {one["key"]: one["value"] for one in found}


async def test_an_agent_recalls_what_it_remembered(toolbox: Toolbox):
    await use(toolbox, "remember", key="lamp/1", value="green")
    await use(toolbox, "remember", key="lamp/2", value={"colour": "red"}, hours=0.5)
    await use(toolbox, "remember", key="lamp/1", value="blue")
    assert await recalled(toolbox, "lamp/1") == {"lamp/1": "blue"}
    assert await recalled(toolbox, "lamp/*") == {"lamp/1": "blue", "lamp/2": {"colour": "red"}}
    assert await recalled(toolbox, "door") == {}
    outcome = await use(toolbox, "recall", key="lamp/1")
    assert outcome.untrusted, "what was remembered is data"
    for other in (replace(ERRAND, agent="other"), replace(ERRAND, tenant=TenantId("globex"))):
        assert await recalled(toolbox, "lamp/1", other) == {}
        assert await recalled(toolbox, "*", other) == {}


async def test_what_cannot_be_remembered_is_refused(toolbox: Toolbox, tmp_path: Path):
    with pytest.raises(InvalidRequest):
        await use(toolbox, "remember", key="a\nb", value=1)
    with pytest.raises(InvalidRequest):
        await use(toolbox, "remember", key="a", value=1, hours=169)
    shelf = Shelf()
    bare = Toolbox(
        find=shelf.find, shelve=shelf.shelve, run_code=run_here, workspaces=tmp_path,
        mailbox=tmp_path / "mailbox",
    )  # fmt: skip
    with pytest.raises(Refused):
        await use(bare, "recall", key="a")
