"""Level 3 over a real ledger: the built-in agents and tools, tasks, and an orchestrator."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.agents import Agents
from dryad.execution.catalogue import provision_catalogue
from dryad.foundation.audit import Audit
from dryad.foundation.database import Database
from dryad.foundation.ids import TenantId
from dryad.foundation.policies import Policies
from dryad.foundation.stops import Stops
from dryad.foundation.tenants import Tenants
from dryad.foundation.tools import Tools
from dryad.orchestration.decision import Decision
from dryad.orchestration.decisions import Decisions
from dryad.orchestration.hybrid import HybridOrchestrator
from dryad.orchestration.task_force import TaskForces
from dryad.orchestration.tasks import Request, Task, Tasks

ACME = TenantId("acme")


@dataclass
class House:
    """One tenant, `acme`, with everything a decision looks at."""

    database: Database
    agents: Agents
    tools: Tools
    policies: Policies
    stops: Stops
    decisions: Decisions
    forces: TaskForces
    tasks: Tasks
    audit: Audit

    def orchestrator(self, *, tokens: int | None = None) -> HybridOrchestrator:
        return HybridOrchestrator(
            self.agents, self.tools, self.policies, self.stops, self.decisions, tokens=tokens
        )

    def submit(self, text: str, **more: Any) -> Task:
        return self.tasks.submit(Request(tenant=ACME, text=text, **more))

    def decide(self, text: str, **more: Any) -> Decision:
        return self.orchestrator().decide(self.submit(text, **more))


def build(database: Database, directory: Path) -> House:
    audit = Audit(database, b"k" * 32, directory / "heads")
    Tenants(database).create(ACME, "Acme")
    house = House(
        database,
        Agents(database),
        Tools(database, audit=audit),
        Policies(database, audit=audit),
        Stops(database, audit=audit),
        Decisions(database, audit),
        TaskForces(database),
        Tasks(database, audit=audit),
        audit,
    )
    provision_catalogue(ACME, tools=house.tools, agents=house.agents)
    return house


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return build(database, tmp_path)


@pytest.fixture
def build_house() -> Callable[[Database, Path], House]:
    return build
