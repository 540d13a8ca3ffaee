"""Steps of a run: carried by one process at a time, done once, read back ever after.

A flow body enters `carried()` and calls steps. A step that is in the journal returns its recorded
outcome without a task run, so a body that runs again from the top after a suspension costs a read
a step and shows only what it really did.
"""

import asyncio
import functools
import inspect
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from prefect import task
from prefect.runtime import flow_run
from prefect.utilities.annotations import quote
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from dryad.foundation import logs
from dryad.foundation.errors import DryadError, Superseded, Unavailable
from dryad.foundation.ids import RunId
from dryad.foundation.journal import Lease, Past
from tasks._policy import HEALING
from tasks._services import services

LOOK_EVERY_SECONDS = 2.0
"""How soon a process notices that its run was cancelled or taken over."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Carried:
    """The run this process carries, and how often it came past each place."""

    lease: Lease
    past: Past
    _passes: Counter[str] = field(default_factory=Counter[str])

    @property
    def id(self) -> RunId:
        """Id of the flow run."""
        return self.lease.run

    def next(self, path: str) -> int:
        """Count one more call of `path`, from 1; the same order of calls gives the same number."""
        self._passes[path] += 1
        return self._passes[path]


_carried: ContextVar[Carried] = ContextVar("carried")


def carried_run() -> Carried:
    """Return the run the calling step belongs to."""
    return _carried.get()


@asynccontextmanager
async def carried() -> AsyncGenerator[Carried]:
    """Take over the flow run this process executes, and stay believed until the body ends.

    Whoever carried it before can write nothing more.
    """
    run = RunId(str(flow_run.id))
    holder = f"{socket.gethostname()}:{os.getpid()}"
    journal = services().journal
    lease = await asyncio.to_thread(journal.claim, run, holder=holder)
    # Nobody else writes to the journal from here on, so one reading of it is enough.
    past = await asyncio.to_thread(journal.past, run)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(lease, ended), name="lease", daemon=True)
    renewal.start()
    token = _carried.set(Carried(lease, past))
    try:
        with logs.bound(run=run):
            yield _carried.get()
    except Superseded as reason:
        _leave(reason)
    finally:
        _carried.reset(token)
        ended.set()
        _release(lease)


class Decorator(Protocol):
    """Makes a function a step; sync or async, the step is awaited."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, Coroutine[Any, Any, R]]: ...


def step(
    path: str,
    *,
    shown_as: str = "",
    policy: dict[str, Any] = HEALING,
    recorded: Callable[[Any], bool] = lambda _outcome: True,
    exhausted: Callable[..., Coroutine[Any, Any, Any]] | None = None,
) -> Decorator:
    """Make a plain function (sync, or async) a recorded step of a run, shown as a Prefect task.

    Its arguments and its outcome are JSON by their annotations. An argument called `member` makes
    the place in the journal that member's own, so parallel branches keep their order.

    Args:
        path: Name of the step in the journal and in the UI.
        shown_as: Prefect's template for the name of the task run; default `path`.
        policy: When it is tried again.
        recorded: Whether an outcome is final; one that is not is looked for again next time.
        exhausted: Gives the outcome when no retry healed an outage, from what was wrong and the
            step's own arguments; None raises it.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        signature = inspect.signature(function, eval_str=True)
        outcome_type: TypeAdapter[Any] = TypeAdapter(signature.return_annotation)

        @functools.wraps(function)
        async def shown(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(function):
                return await function(*args, **kwargs)
            return await asyncio.to_thread(function, *args, **kwargs)

        as_task = task(name=path, task_run_name=shown_as or path, **policy)(shown)

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            run, journal = carried_run(), services().journal
            inputs = to_jsonable_python(dict(signature.bind(*args, **kwargs).arguments))
            place = f"{path}/{inputs['member']}" if "member" in inputs else path
            ordinal = run.next(place)
            found = run.past.find(place, ordinal, inputs)
            if found is not None and found.state == "done":
                return outcome_type.validate_python(found.outcome)
            outcome = await _tried(as_task, exhausted, *args, **kwargs)
            if recorded(outcome):
                as_json = outcome_type.dump_python(outcome, mode="json")
                await asyncio.to_thread(journal.record, run.lease, place, ordinal, inputs, as_json)
            return outcome

        return call

    return decorate


async def _tried(
    as_task: Callable[..., Coroutine[Any, Any, Any]],
    exhausted: Callable[..., Coroutine[Any, Any, Any]] | None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    try:
        return await as_task(*map(quote, args), **{k: quote(v) for k, v in kwargs.items()})
    except Unavailable as error:
        if exhausted is None:
            raise
        return await exhausted(error.message, *args, **kwargs)


async def keep_contract(number: int) -> bool:
    """Whether the run began under this number of its flow's contract."""
    run = carried_run()
    found = run.past.find("contract", 1, {})
    if found is None:
        record = services().journal.record
        await asyncio.to_thread(record, run.lease, "contract", 1, {}, number)
        return True
    return bool(found.outcome == number)


def _renew(lease: Lease, ended: threading.Event) -> None:
    """Renew the lease, and look more often whether it was taken away: a cancelled run ends soon."""
    journal, period = services().journal, services().settings.lease.total_seconds() / 3
    due = time.monotonic() + period
    while not ended.wait(min(period, LOOK_EVERY_SECONDS)):
        try:
            if time.monotonic() >= due or not journal.holds(lease):
                journal.renew(lease)
                due = time.monotonic() + period
        except Superseded as reason:
            _leave(reason)
        except DryadError as error:
            logs.get_logger("run").warning("lease_not_renewed", reason=error.message)


def _release(lease: Lease) -> None:
    try:
        services().journal.release(lease)
    except Superseded as reason:
        _leave(reason)
    except DryadError as error:  # the keeper finds the run by its lease
        logs.get_logger("run").warning("lease_not_released", reason=error.message)


def _leave(reason: Superseded) -> None:
    """End this process without a word: another one speaks for the run now.

    Any state that we reported to the server would overwrite the other's.
    """
    logs.get_logger("run").warning("superseded", reason=reason.message)
    os._exit(0)
