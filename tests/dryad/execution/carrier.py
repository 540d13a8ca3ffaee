"""A process that carries a run of an agent, and is killed by the kernel at a moment it is told."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_ai.models.openai  # noqa: F401 - once, in the server that forks the carriers

from dryad.execution.agent_loop import advance
from dryad.execution.agents import Agents
from dryad.execution.episodes import episode_from_json, to_json
from dryad.execution.steps import RunSteps
from dryad.execution.toolbox import Errand, GrantedTools, Toolbox
from dryad.foundation.database import Database
from dryad.foundation.ids import TaskId
from dryad.foundation.journal import Journal
from dryad.foundation.tool_history import ToolHistory
from dryad.foundation.tools import Tools
from tests.dryad.execution.conftest import ACME, Policy, Shelf, Spent, run_here, talking_to
from tests.dryad.execution.mortal import Mortal


def killed() -> None:
    """End this process as the kernel ends it."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Place:
    """Where everything is that a carrier needs."""

    database_url: str
    provider_url: str
    workspaces: str
    end: str
    """The file in which a carrier that lives says how its episode ended."""


def carry(place: Place, episode: Mapping[str, Any], dies_at: int) -> None:
    """Take the run over and carry one episode; say how it ended, and how many moments it had."""
    database = Database(place.database_url)
    what = episode_from_json(episode)
    tools, shelf, workspaces = Tools(database), Shelf(), Path(place.workspaces)
    toolbox = Toolbox(
        find=shelf.find,
        shelve=shelf.shelve,
        run_code=run_here,
        workspaces=workspaces,
        mailbox=workspaces / "mailbox",
    )
    errand = Errand(ACME, TaskId("task-1"), "messenger")
    caller = GrantedTools(
        tools,
        toolbox,
        errand,
        policy=lambda: Policy("authority"),
        heard_by=frozenset,
        role=Agents(database).get(ACME, "messenger").role,
    )
    journal = Journal(database)
    lease = journal.claim(what.run, holder=str(os.getpid()))
    note = ToolHistory(database).noting(errand)
    steps = Mortal(RunSteps(journal, lease, spend=Spent(), note=note), dies_at, killed)
    model = talking_to(place.provider_url)
    end = asyncio.run(advance(what, model=model, tools=caller, steps=steps))
    told = json.dumps({"moments": steps.moments, "end": to_json(end)})
    Path(place.end).write_text(told)
    database.close()
