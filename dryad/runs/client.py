"""The run client: everything DRYAD asks of the Prefect server or tells it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import orjson

from dryad.foundation.errors import InvalidRequest, NotFound, Unavailable
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.runs.types import (
    RUN_ENDED,
    Deployment,
    Pool,
    RunState,
    StateType,
    StoredAnswer,
    Worker,
    instant,
    state_from,
)
from dryad.runs.wire import Wire

POOL = "dryad"
ORCHESTRATE = "orchestrate-task/on-demand"
_PAGE = 200
_LIVE = frozenset(get_args(StateType)) - RUN_ENDED


class Runs:
    """Submit, resume, cancel and look at runs of one Prefect server.

    Every method may raise `Unavailable` after `patience`: the server is down, locked or slow.
    """

    def __init__(
        self,
        prefect_url: str,
        auth: str | None = None,
        *,
        patience: timedelta = timedelta(seconds=20),
        timeout: timedelta = timedelta(seconds=65),
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            prefect_url: API URL, as in `http://127.0.0.1:4200/api`.
            auth: `user:password` of the server, or None when it is open.
            patience: How long a request that failed is repeated. 0: asked once.
            timeout: Longest wait for one answer; SQLite may keep it waiting for a minute.
        """
        self._wire = Wire(prefect_url, auth, patience=patience, timeout=timeout)
        self._deployment_ids: dict[str, str] = {}

    @classmethod
    def of(cls, settings: Settings) -> "Runs":
        """Return the client of the server an installation uses."""
        return cls(settings.prefect_url, Secrets.read(settings.secrets_path).prefect_auth)

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    # -- start and stop

    def submit(self, task_id: TaskId, tenant: TenantId) -> RunId:
        """Start the run of a task, or return the one that was started before.

        Only the id travels: Prefect's server evaluates templates in parameters.
        """
        return self.start(
            ORCHESTRATE,
            {"request": {"text": "", "task_id": task_id}},
            name=task_id,
            tags=[f"tenant:{tenant}", f"task:{task_id}"],
            key=task_id,
        )

    def start(
        self,
        deployment: str,
        parameters: Mapping[str, Any],
        *,
        name: str,
        tags: Sequence[str] = (),
        key: str,
    ) -> RunId:
        """Start a run of `flow/deployment`.

        Args:
            deployment: As registered, `flow/deployment`.
            parameters: JSON; must not hold `__prefect_kind`, which the server would evaluate.
            name: Name of the run in the UI.
            tags: Tags of the run beside those of the deployment.
            key: Idempotency key: the same one returns the same run of that flow.

        Raises:
            InvalidRequest: the parameters do not fit the flow's schema.
            Unavailable: the server is down, or the deployment is not registered there.
        """
        if holds_template(parameters):
            raise InvalidRequest("parameters must not hold '__prefect_kind' at any depth")
        body: dict[str, Any] = {
            "name": name,
            "parameters": dict(parameters),
            "tags": list(tags),
            "idempotency_key": key,
            "state": {"type": "SCHEDULED", "name": "Scheduled"},
        }
        try:
            return self._create(deployment, body)
        except NotFound:  # registered anew since we looked: ask for its id once more
            self._deployment_ids.pop(deployment, None)
        try:
            return self._create(deployment, body)
        except NotFound as error:
            raise Unavailable(
                f"the deployment {deployment} is not registered",
                "`dryad up` registers all deployments; or run `python -P -m deployments.apply`.",
            ) from error

    def resume(self, run: RunId, key: str, answer: Mapping[str, Any]) -> bool:
        """Answer the form `key` of a suspended run, so that it goes on.

        Returns:
            True when the answer was taken; False when the run no longer waits at that form.

        Raises:
            InvalidRequest: the form refuses the answer.
            Unavailable: the run is suspended but its form is not stored yet, or not at all.
        """
        if holds_template(answer):
            raise InvalidRequest("an answer must not hold '__prefect_kind' at any depth")
        reason = ""
        for attempt in self._wire.tries():
            # The server's resume names no form: a blind repetition could answer the next one.
            if self.state(run).pause_key != key:
                return attempt > 0 and self.stored_answer(run, key) is not None
            try:
                body = {"run_input": dict(answer)}
                result = self._wire.post_once(f"/flow_runs/{run}/resume", body)
            except Unavailable as error:
                reason = error.message
                continue
            if result["status"] == "ACCEPT":
                return True
            reason = _reason(result)
            if result["status"] == "REJECT" and "schema not found" not in reason:
                raise InvalidRequest(f"the form refuses the answer: {reason}")
        raise Unavailable(f"run {run} could not be resumed: {reason}")

    def cancel(self, run: RunId) -> bool:
        """Cancel a run that has not ended; one without a process is Cancelled at once.

        Returns:
            False when the run had ended already.
        """
        return self._set_state(run, "CANCELLING", "Cancelling", "cancelled on request")

    def mark_cancelled(self, run: RunId) -> bool:
        """Say that the process of a run being cancelled is gone; False when it is not Cancelling.

        Only for a run whose process is dead: nothing is stopped by this.
        """
        if self.state(run).type != "CANCELLING":
            return False
        return self._set_state(run, "CANCELLED", "Cancelled", "cancelled; its process is gone")

    def mark_crashed(self, run: RunId, reason: str = "its process is gone") -> bool:
        """Say that the process of a working run is gone; False when the run does not work.

        A run that ended, waits for a person or is about to start is left alone.
        """
        if self.state(run).type not in {"PENDING", "RUNNING"}:
            return False
        return self._set_state(run, "CRASHED", "Crashed", reason)

    def reschedule(self, run: RunId) -> bool:
        """Start a crashed run again, from the top of its body; False when it is not Crashed."""
        if self.state(run).type != "CRASHED":
            return False
        return self._set_state(run, "SCHEDULED", "AwaitingRetry", "started again after a crash")

    # -- look

    def state(self, run: RunId) -> RunState:
        """Return how a run stands.

        Raises:
            NotFound: the server does not know the run.
        """
        found = state_from(self._wire.get(f"/flow_runs/{run}")["state"])
        if found is None:
            raise NotFound(f"run {run} has no state")
        return found

    def states(self, runs: Sequence[RunId]) -> dict[RunId, RunState]:
        """Return how each run stands; those the server does not know are left out."""
        found: dict[RunId, RunState] = {}
        for start in range(0, len(runs), _PAGE):
            page = list(runs[start : start + _PAGE])
            body = {"flow_runs": {"id": {"any_": page}}, "limit": _PAGE}
            for row in self._wire.post("/flow_runs/filter", body):
                state = state_from(row["state"])
                if state is not None:
                    found[RunId(row["id"])] = state
        return found

    def live(self, deployment: str = ORCHESTRATE) -> dict[RunId, RunState]:
        """Return how every run of a deployment stands that has not ended."""
        name = deployment.partition("/")[2]
        wanted = {
            "deployments": {"name": {"any_": [name]}},
            "flows": {"name": {"any_": [deployment.partition("/")[0]]}},
            "flow_runs": {"state": {"type": {"any_": sorted(_LIVE)}}},
            "sort": "ID_DESC",
        }
        rows = self._pages("/flow_runs/filter", wanted)
        states = {RunId(row["id"]): state_from(row["state"]) for row in rows}
        return {run: state for run, state in states.items() if state is not None}

    def ended(self, before: datetime) -> list[RunId]:
        """Return the runs of our work pools that ended before a time, whatever they ran."""
        ended = {"state": {"type": {"any_": sorted(RUN_ENDED)}}}
        wanted = {
            "work_pools": {"name": {"any_": self._pools()}},
            "flow_runs": {**ended, "end_time": {"before_": before.isoformat()}},
            "sort": "ID_DESC",
        }
        return [RunId(row["id"]) for row in self._pages("/flow_runs/filter", wanted)]

    def delete(self, run: RunId) -> None:
        """Delete a run; one that is gone already is as good. Its logs go when orphans do."""
        with suppress(NotFound):
            self._wire.send("DELETE", f"/flow_runs/{run}")

    def crashes(self, run: RunId, *, apart: timedelta = timedelta(0)) -> int:
        """Return how often a run crashed; reports less than `apart` from the last are one crash.

        One killed process may be reported twice, by its worker and by the keeper.
        """
        rows = self._wire.get(f"/flow_run_states/?flow_run_id={run}")
        times = sorted(instant(row["timestamp"]) for row in rows if row["type"] == "CRASHED")
        count, last = 0, datetime.min.replace(tzinfo=UTC)
        for time in times:
            count += time - last >= apart
            last = time
        return count

    def stored_answer(self, run: RunId, key: str) -> StoredAnswer | None:
        """Return what was sent through the form `key` of a run, if anything was."""
        wanted = f"suspended-{key}-response"
        body = {"prefix": wanted, "limit": _PAGE}
        for row in self._wire.post(f"/flow_runs/{run}/input/filter", body):
            if row["key"] == wanted:
                return StoredAnswer(orjson.loads(row["value"]), instant(row["created"]))
        return None

    def form_stored(self, run: RunId, key: str) -> bool:
        """Whether the form `key` of a run can be answered: its schema is on the server."""
        wanted = f"suspended-{key}-schema"
        rows = self._wire.post(
            f"/flow_runs/{run}/input/filter", {"prefix": wanted, "limit": _PAGE}
        )  # fmt: skip
        return any(row["key"] == wanted for row in rows)

    def store_form(self, run: RunId, key: str) -> None:
        """Give a suspended run that lost its form one that takes any answer.

        For a process killed between suspending and storing its form: nobody could resume it.
        """
        if self.form_stored(run, key):
            return
        body = {"key": f"suspended-{key}-schema", "value": '{"type": "object"}'}
        try:
            self._wire.post(f"/flow_runs/{run}/input", body)
        except InvalidRequest:
            if not self.form_stored(run, key):  # refused for another reason than being there
                raise

    def deployments(self) -> list[Deployment]:
        """Return every registered deployment, by name."""
        flows = {row["id"]: row["name"] for row in self._pages("/flows/filter")}
        found = [
            Deployment(
                id=row["id"],
                name=f"{flows.get(row['flow_id'], '?')}/{row['name']}",
                entrypoint=row.get("entrypoint") or "",
                paused=bool(row.get("paused")),
                version=row.get("version") or "",
                tags=tuple(row.get("tags") or ()),
            )
            for row in self._pages("/deployments/filter")
        ]
        return sorted(found, key=lambda deployment: deployment.name)

    def pool(self) -> Pool:
        """Return the work pool.

        Raises:
            NotFound: it was not created yet.
        """
        row = self._wire.get(f"/work_pools/{POOL}")
        return Pool(row["name"], row["type"], bool(row["is_paused"]), row["concurrency_limit"])

    def workers(self) -> list[Worker]:
        """Return the workers of the pool that ever showed up, the latest first."""
        rows = self._wire.post(f"/work_pools/{POOL}/workers/filter", {"limit": _PAGE})
        found = [
            Worker(
                name=row["name"],
                online=row["status"] == "ONLINE",
                last_seen=instant(seen) if (seen := row.get("last_heartbeat_time")) else None,
            )
            for row in rows
        ]
        never = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda worker: worker.last_seen or never, reverse=True)

    def ping(self) -> None:
        """Prove that the server answers, reaches its database and takes our password."""
        self._wire.get("/ready")
        self._wire.get("/admin/version")

    # -- helpers

    def _pools(self) -> list[str]:
        """Return the pool of `dryad up`, and those an operator has moved our deployments to."""
        rows = self._pages("/deployments/filter")
        ours = (row for row in rows if (row.get("entrypoint") or "").startswith("flows."))
        return sorted({POOL} | {row["work_pool_name"] for row in ours if row["work_pool_name"]})

    def _create(self, deployment: str, body: dict[str, Any]) -> RunId:
        if deployment not in self._deployment_ids:
            row = self._wire.get(f"/deployments/name/{deployment}")
            self._deployment_ids[deployment] = row["id"]
        path = f"/deployments/{self._deployment_ids[deployment]}/create_flow_run"
        return RunId(self._wire.post(path, body)["id"])

    def _set_state(self, run: RunId, kind: StateType, name: str, message: str) -> bool:
        state = {"type": kind, "name": name, "message": message}
        result = self._wire.post(f"/flow_runs/{run}/set_state", {"state": state})
        if result["status"] == "ACCEPT":
            return True
        # REJECT puts the run into another state than the one proposed: Cancelled at once
        # instead of Cancelling, when it has no process.
        return result["status"] == "REJECT" and kind == "CANCELLING"

    def _pages(self, path: str, wanted: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            page = self._wire.post(path, {**(wanted or {}), "limit": _PAGE, "offset": len(rows)})
            rows += page
            if len(page) < _PAGE:
                return rows


def _reason(result: dict[str, Any]) -> str:
    details: dict[str, Any] = result.get("details") or {}
    return str(details.get("reason") or result["status"])


def holds_template(value: object) -> bool:
    """Whether JSON holds the key `__prefect_kind`, which the server would evaluate."""
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            if "__prefect_kind" in item:
                return True
            pending.extend(item.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        elif isinstance(item, list | tuple):
            pending.extend(item)  # pyright: ignore[reportUnknownArgumentType]
    return False
