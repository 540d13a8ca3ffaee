"""The keeper's rounds over a real ledger and a real Prefect server, whose runs nobody executes."""

from collections.abc import Generator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dryad.adapters import choose_adapters
from dryad.bootstrap import Services
from dryad.foundation import environment as reader
from dryad.foundation.database.models import Base
from dryad.foundation.ids import RunId, TenantId
from dryad.foundation.journal import Lease
from dryad.foundation.provision import provision
from dryad.operations.backups.making import Purpose
from dryad.operations.drills import Drill
from dryad.operations.objectives import record
from dryad.orchestration.review.questions import Question
from dryad.orchestration.tasks import Request, Task
from dryad.platform.rounds import STOPS_WITHIN, Rounds
from dryad.runs import Runs
from tests import servers
from tests.servers import PrefectServer

TENANT = TenantId("default")


class House:
    """An installation whose keeper's rounds are made by hand, at any time of day."""

    def __init__(
        self, home: Path, server: PrefectServer, prefect: httpx.Client, **more: str
    ) -> None:
        given = {"DRYAD_HOME": str(home), "DRYAD_LEASE": "5s", **more}
        settings, _ = reader.load(given, directory=home)
        self.later = timedelta(0)
        self.prefect = prefect
        self.runs = Runs(server.url, server.auth)
        self.services = Services(
            settings,
            answers=self.runs,
            component="keeper",
            clock=lambda: datetime.now(UTC) + self.later,
        )
        Base.metadata.create_all(self.services.database.engine)
        provision(self.services.database, self.services.secrets)
        self.rounds = Rounds(self.services, self.runs)
        self._deployment = _deployment(prefect)

    def close(self) -> None:
        self.services.close()
        self.runs.close()

    def carried(self, state: str) -> Task:
        """A task whose run stands so."""
        body = {"idempotency_key": uuid4().hex}
        path = f"/deployments/{self._deployment}/create_flow_run"
        run = RunId(self.prefect.post(path, json=body).raise_for_status().json()["id"])
        task = self.services.tasks.submit(Request(tenant=TENANT, text="Wait.", requester="test"))
        self.services.tasks.sent(task.id, run)
        self.put(run, state)
        return self.services.tasks.set_status(task.id, "running")

    def put(self, run: RunId, state: str) -> None:
        wanted: dict[str, Any] = {"state": {"type": state}, "force": True}
        self.prefect.post(f"/flow_runs/{run}/set_state", json=wanted).raise_for_status()

    def begun(self, task: Task) -> Lease:
        """A process carries it."""
        return self.services.journal.claim(run_of(task), holder="test")

    def asked(self, task: Task) -> int:
        """Something is asked about it."""
        question = Question(
            tenant=TENANT, task=task.id, run=run_of(task), member="m", ordinal=1, kind="approval",
            tier="external", requester="test", title="May I?", why="", action="a", call=None,
            origin="", limits="",
        )  # fmt: skip
        return self.services.cases.settle(question).id

    def status(self, task: Task) -> str:
        return self.services.tasks.find(task.id).status

    def state(self, task: Task) -> str:
        return self.runs.state(run_of(task)).type


def _deployment(prefect: httpx.Client) -> str:
    """`orchestrate-task/on-demand` on no pool: nobody executes its runs."""
    flow = prefect.post("/flows/", json={"name": "orchestrate-task"}).json()["id"]
    body = {"name": "on-demand", "flow_id": flow}
    return str(prefect.post("/deployments/", json=body).raise_for_status().json()["id"])


def run_of(task: Task) -> RunId:
    assert task.run is not None
    return task.run


@pytest.fixture
def house(prefect_server: PrefectServer, tmp_path: Path) -> Generator[House]:
    with prefect_server.client() as prefect, closing(House(tmp_path, prefect_server, prefect)) as h:
        yield h


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_process_is_given_time_to_begin_before_its_run_is_called_crashed(
    house: House, state: str
):
    task = house.carried(state)
    begins_within = house.services.settings.run_begins_within
    house.later = begins_within - timedelta(seconds=20)
    house.rounds.follow()
    assert house.state(task) == state
    house.later = begins_within + timedelta(seconds=1)
    house.rounds.follow()
    assert house.state(task) == "CRASHED"


@pytest.mark.parametrize("state", ["CANCELLING", "CANCELLED"])
def test_what_is_cancelled_in_prefect_ends_cancelled_and_goes_no_further(house: House, state: str):
    task = house.carried("RUNNING")
    lease, case = house.begun(task), house.asked(task)
    house.put(run_of(task), state)
    house.rounds.follow()
    assert house.status(task) == "cancelled"
    assert house.services.cases.get(TENANT, case).status == "cancelled"
    assert not house.services.journal.holds(lease)


def test_the_run_of_a_cancelled_task_is_stopped_by_and_by(house: House):
    task = house.carried("RUNNING")
    lease = house.begun(task)
    house.services.tasks.cancel(TENANT, task.id, actor="key:1")  # and then the API was killed
    house.rounds.settle()
    assert not house.services.journal.holds(lease)
    assert house.state(task) == "CANCELLING"
    house.later = timedelta(seconds=30)
    house.rounds.settle()
    assert house.state(task) == "CANCELLED"


def test_questions_about_an_ended_task_are_closed_by_and_by(house: House):
    task = house.carried("RUNNING")
    case = house.asked(task)
    house.rounds.settle()
    assert house.services.cases.get(TENANT, case).status == "pending"
    house.services.tasks.finish(task.id, "failed", reason="and then its process was killed")
    house.rounds.settle()
    assert house.services.cases.get(TENANT, case).status == "cancelled"


def test_the_run_of_a_task_that_is_done_is_left_to_publish_its_report(house: House):
    task = house.carried("RUNNING")
    lease = house.begun(task)
    house.services.tasks.finish(task.id, "done", result={"answer": "42"})
    house.rounds.settle()
    assert house.services.journal.holds(lease)
    assert house.state(task) == "RUNNING"


@pytest.mark.parametrize("scope", ["global", "tenant:default", "run:{run}"])
def test_a_run_that_hangs_although_it_is_stopped_is_ended(house: House, scope: str):
    task, waiting = house.carried("RUNNING"), house.carried("PAUSED")
    house.services.tasks.set_status(waiting.id, "waiting")
    lease = house.begun(task)
    scope = scope.format(run=task.run)
    house.services.stops.set(TENANT, scope, reason="it went mad", by="key:1")
    house.rounds.halt()
    assert house.status(task) == "running"  # it may still end itself
    house.later = STOPS_WITHIN + timedelta(seconds=1)
    house.rounds.halt()
    ended = house.services.tasks.find(task.id)
    assert (ended.status, ended.reason) == ("refused", f"stopped ({scope}): it went mad")
    assert not house.services.journal.holds(lease)
    assert house.status(waiting) == "waiting"  # it does nothing; when it wakes it is refused
    house.rounds.settle()
    assert house.state(task) == "CANCELLING"


@pytest.mark.parametrize("scope", ["agent:analyst", "tool:notify", "run:other"])
def test_a_stop_that_covers_no_whole_run_ends_none(house: House, scope: str):
    task = house.carried("RUNNING")
    house.services.stops.set(TENANT, scope, reason="x", by="key:1")
    house.later = STOPS_WITHIN + timedelta(seconds=1)
    house.rounds.halt()
    assert house.status(task) == "running"


def test_a_mirror_that_is_away_is_no_health_and_heals(
    tmp_path: Path, prefect_server: PrefectServer
):
    (tmp_path / "redis").mkdir()
    with ExitStack() as opened:
        redis = opened.enter_context(servers.redis(tmp_path / "redis"))
        redis.kill()
        mirrors = {
            "DRYAD_REDIS_URL": f"redis://127.0.0.1:{redis.port}",
            "DRYAD_CHROMA": "http://127.0.0.1:1",
            "DRYAD_EMBEDDER": "minilm",
        }
        prefect = opened.enter_context(prefect_server.client())
        house = opened.enter_context(closing(House(tmp_path, prefect_server, prefect, **mirrors)))
        house.services.installation.choose_adapters(choose_adapters(house.services.settings))
        house.services.archivist.remember(TENANT, "scout", "k", 1)
        house.rounds.mirror()
        house.rounds.measure()
        found = house.services.health.report().details
        assert (found["redis"].status, found["chromadb"].status) == ("degraded", "degraded")
        assert "1 changes wait" in found["redis"].reason
        redis.start()
        house.rounds.mirror()
        house.rounds.measure()
        assert house.services.health.report().details["redis"].status == "healthy"
        recalled = house.services.archivist.recall(TENANT, "scout", "k")
        assert recalled is not None
        assert recalled.value == 1


def test_chroma_without_vectors_is_said_to_be_of_no_use(
    tmp_path: Path, prefect_server: PrefectServer
):
    with (
        prefect_server.client() as prefect,
        closing(
            House(tmp_path, prefect_server, prefect, DRYAD_CHROMA="http://127.0.0.1:1")
        ) as house,
    ):
        house.services.installation.choose_adapters(choose_adapters(house.services.settings))
        house.rounds.measure()
        found = house.services.health.report().details["chromadb"]
    assert found.status == "degraded"
    assert "DRYAD_EMBEDDER" in found.reason


class Safeguarded:
    """An installation whose keeper says whether it could be recovered."""

    def __init__(self, house: House) -> None:
        self.house = house

    def told(self) -> str:
        """What health says; '' when all is well."""
        self.house.rounds.safeguard()
        found = self.house.services.health.report().details["backups"]
        assert (found.status == "healthy") == (found.reason == "")
        return found.reason

    def keep(self) -> str:
        return self.house.services.backups.create(Purpose()).manifest.id

    def drilled(self, *missed: str) -> None:
        ended = Drill("s", {}, timedelta(0), missed)
        record(self.house.services.audit, ended, actor="cli")


@pytest.fixture
def safeguarded(tmp_path: Path, prefect_server: PrefectServer) -> Generator[Safeguarded]:
    elsewhere = {"DRYAD_PREFECT_API_URL": prefect_server.url}  # another's: it keeps itself
    with (
        prefect_server.client() as prefect,
        closing(House(tmp_path / "home", prefect_server, prefect, **elsewhere)) as house,
    ):
        yield Safeguarded(house)


def test_that_no_good_set_is_young_enough_is_told(safeguarded: Safeguarded, tmp_path: Path):
    """By health, and as an alarm in the log, before anybody needs what is not there."""
    told, house = safeguarded.told, safeguarded.house
    assert told() == ""  # a day to make the first one
    house.later = timedelta(hours=25)
    assert "there is no good backup set" in told()
    assert house.services.health.report().status != "healthy"
    first = safeguarded.keep()
    assert told() == ""
    house.later = timedelta(hours=48)
    assert told() == ""
    house.later = timedelta(hours=50)
    assert "RPO: the newest good backup set is 25 h old" in told()
    second = safeguarded.keep()
    assert told() == ""
    (file,) = (tmp_path / "backups" / second).glob("dryad.*")
    file.write_bytes(b"rot")
    house.services.backups.verify(house.services.backups.find("newest"))
    assert house.services.backups.find("newest").id == first
    assert "RPO: the newest good" in told(), "a bad set counts for nothing"
    alarms = (tmp_path / "logs" / "gremlins_errors.log").read_text()
    assert alarms.count("recovery_objectives_missed") == 3


def test_a_drill_that_missed_or_never_was_is_told(safeguarded: Safeguarded):
    safeguarded.keep()
    safeguarded.drilled("RTO: it took 5:00:00, allowed are 4:00:00")
    assert "RTO: it took 5:00:00" in safeguarded.told()
    safeguarded.drilled()
    assert safeguarded.told() == ""
    safeguarded.house.later = timedelta(days=40)
    safeguarded.keep()
    assert "no recovery was drilled for" in safeguarded.told()
