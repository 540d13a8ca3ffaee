"""Kill switches and budgets are asked before every step, and told what it used."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from dryad.execution.episodes import Done, Limits, Usage, Verdict
from dryad.execution.guard import Kind
from dryad.foundation.errors import LimitExceeded, Refused, Unavailable
from tests.dryad.execution.conftest import (
    ACME,
    HELLO,
    LETTER,
    Desk,
    after,
    asked,
    episode,
    go,
    talking_to,
    told,
)
from tests.web import Server, accept, never_ending, scripted, serve


@dataclass
class Watch:
    """A guard that writes down what it is asked and told, and refuses what it is to."""

    refuses: dict[str, Exception] = field(default_factory=dict)
    """What is asked → what is raised, once `after` holds."""
    after: Callable[["Watch"], bool] = lambda _: True
    said: list[str] = field(default_factory=list)

    def _say(self, what: str) -> None:
        # While a step is under way it is looked after as often as time allows: not told here.
        if not (what.startswith("check") and self.said and self.said[-1].startswith("reserve")):
            self.said.append(what)
        if what in self.refuses and self.after(self):
            raise self.refuses[what]

    def check(self, kind: Kind, name: str) -> None:
        self._say(f"check {name}")

    def reserve(self, kind: Kind, most: Usage) -> str:
        self._say(f"reserve {kind}")
        return kind

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        used_up = "all" if used is None else f"{used.steps} {'tokens' * bool(used.tokens)}".strip()
        self._say(f"settle {ticket} {used_up}")


def settled(kind: str) -> Callable[[Watch], bool]:
    return lambda watch: any(line.startswith(f"settle {kind}") for line in watch.said)


def under_way(kind: str) -> Callable[[Watch], bool]:
    return lambda watch: bool(watch.said) and watch.said[-1] == f"reserve {kind}"


NOW = Refused("stopped (global): now")
MODEL = ["check test-model", "reserve model", "settle model 1 tokens", "check test-model"]
WRITE = ["check write_file", "reserve tool", "settle tool 1", "check write_file"]
WRITES = [("write_file", {"path": "a.txt", "content": "hi"})]


async def test_the_guard_is_asked_before_and_after_every_step_that_is_not_replayed(desk: Desk):
    watch = Watch({"check test-model": NOW}, after=settled("tool"))
    with serve(scripted(WRITES, "Done.")) as provider:
        with pytest.raises(Refused, match="now"):
            await go(desk, talking_to(provider.url), guard=watch)
        assert watch.said == [*MODEL, *WRITE, "check test-model"]
        spent = LimitExceeded("the task's budget is spent")
        again = Watch({"reserve model": spent})
        done = await go(desk, talking_to(provider.url), guard=again)
        assert isinstance(done, Done)
        assert (done.status, done.reason) == ("stopped", "the task's budget is spent")
        assert again.said == MODEL[:2]  # two steps were replayed without being asked for
        assert len(provider.received) == 1


async def test_an_answer_that_comes_back_after_a_stop_is_charged_and_discarded(desk: Desk):
    watch = Watch({"check test-model": NOW}, after=settled("model"))
    with serve(scripted(WRITES, "Done.")) as provider:
        with pytest.raises(Refused, match="stopped"):
            await go(desk, talking_to(provider.url), guard=watch)
        assert watch.said == MODEL
        assert not [step for step in desk.recorded() if "/model" in step]
        await go(desk, talking_to(provider.url))  # lifted: it is asked anew
        assert len(provider.received) == 3


async def test_the_result_of_a_call_that_comes_back_after_a_stop_is_discarded(
    desk: Desk, outside: Server
):
    desk.policy.approval_tier = "authority"
    watch = Watch({"check notify": NOW}, after=settled("tool"))
    with serve(scripted([("notify", LETTER)], "Sent.")) as provider:
        model = talking_to(provider.url)
        with pytest.raises(Refused, match="stopped"):
            await go(desk, model, guard=watch)
        assert "settle tool 1" in watch.said
        for _ in range(2):
            await go(desk, model)  # lifted: what was made is known, and is not made again
    assert len(outside.received) == 1
    assert "its result was discarded: stopped (global): now" in told(provider)[0]


async def test_a_model_that_fails_is_charged_all_that_was_held(desk: Desk):
    watch = Watch()
    with serve(accept(500)) as provider, pytest.raises(Unavailable):
        await go(desk, talking_to(provider.url), guard=watch)
    assert watch.said == ["check test-model", "reserve model", "settle model all"]


async def test_nothing_is_held_while_a_person_is_asked(desk: Desk, outside: Server):
    watch = Watch()
    with serve(scripted([("notify", LETTER)], "Sent.")) as provider:
        await go(desk, talking_to(provider.url), guard=watch)
        assert watch.said == MODEL
        desk.spent.lapsed.add(1)
        asks = await asked(desk, talking_to(provider.url))
        late = Watch()
        following = after(asks, Verdict("approve", case=1))
        await go(desk, talking_to(provider.url), following, guard=late)
    assert late.said == ["check notify", "reserve tool", "settle tool 0"]


async def test_a_stopped_tool_is_not_called(desk: Desk, outside: Server):
    desk.policy.approval_tier = "authority"
    watch = Watch({"check notify": Refused("tool:notify was stopped")})
    with serve(scripted([("notify", LETTER)], "Sent.")) as provider:
        with pytest.raises(Refused, match="tool:notify"):
            await go(desk, talking_to(provider.url), guard=watch)
        assert outside.received == []
        limits = Limits(steps=1)
        done = await go(desk, talking_to(provider.url), episode(HELLO, "messenger", limits=limits))
        assert isinstance(done, Done)
        assert (done.status, done.usage.steps) == ("stopped", 1)
    assert outside.received == []


async def test_a_model_that_thinks_while_it_is_stopped_is_left_alone_at_once(desk: Desk):
    watch = Watch({"check test-model": NOW}, after=under_way("model"))
    with serve(never_ending) as provider:
        begun = time.monotonic()
        with pytest.raises(Refused, match="now"):
            await go(desk, talking_to(provider.url), guard=watch)
        took = time.monotonic() - begun
    assert took < 60, "the answer never ends, and its deadline is longer"
    assert watch.said[-1] == "settle model all"
    assert desk.recorded() == ["messenger/tools#1 done"]


async def test_a_program_that_runs_while_it_is_stopped_is_killed(desk: Desk):
    desk.workspaces.mkdir(parents=True, exist_ok=True)
    marker, done = desk.workspaces / "lives", desk.workspaces / "done"
    touch, finish = (f"open({str(file)!r}, 'w').close()" for file in (marker, done))
    lasting = f"import time\nfor _ in range(400):\n    {touch}; time.sleep(0.05)\n{finish}"
    desk.tools.grant(ACME, "messenger", "run_python")
    desk.policy.approval_tier = "authority"
    watch = Watch({"check run_python": NOW}, after=lambda _: marker.exists())
    script = scripted([("run_python", {"code": lasting})], "Done.")
    with serve(script) as provider, pytest.raises(Refused, match="now"):
        await go(desk, talking_to(provider.url), guard=watch)
    assert "settle tool 1" in watch.said
    assert not done.exists(), "it was let come to its end"
    last = marker.stat().st_mtime_ns
    await asyncio.sleep(0.5)
    assert marker.stat().st_mtime_ns == last, "the program still runs"
