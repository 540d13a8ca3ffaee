"""Kill switches and budgets are asked before every step, and told what it used."""

from dataclasses import dataclass, field

import pytest

from dryad.execution.episodes import Done, Limits, Usage, Verdict
from dryad.execution.guard import Kind
from dryad.foundation.errors import LimitExceeded, Refused, Unavailable
from tests.dryad.execution.conftest import (
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
from tests.web import Server, accept, scripted, serve


@dataclass
class Watch:
    """A guard that writes down what it is asked and told, and raises when it is to."""

    said: list[str] = field(default_factory=list)
    refuses: dict[str, Exception] = field(default_factory=dict)
    """What it is asked, with how often before → what it says."""

    def _say(self, what: str) -> None:
        self.said.append(what)
        if error := self.refuses.get(f"{what} {self.said.count(what)}"):
            raise error

    def check(self, kind: Kind, name: str) -> None:
        self._say(f"check {name}")

    def reserve(self, kind: Kind, most: Usage) -> str:
        self._say(f"reserve {kind}")
        return kind

    def settle(self, ticket: str, kind: Kind, used: Usage | None) -> None:
        used_up = "all" if used is None else f"{used.steps} {'tokens' * bool(used.tokens)}".strip()
        self._say(f"settle {ticket} {used_up}")


MODEL = ["check test-model", "reserve model", "settle model 1 tokens", "check test-model"]
WRITE = ["check write_file", "reserve tool", "settle tool 1", "check write_file"]
WRITES = [("write_file", {"path": "a.txt", "content": "hi"})]


async def test_the_guard_is_asked_before_and_after_every_step_that_is_not_replayed(desk: Desk):
    watch = Watch(refuses={"check test-model 3": Refused("agent:messenger was stopped")})
    with serve(scripted(WRITES, "Done.")) as provider:
        with pytest.raises(Refused, match="was stopped"):
            await go(desk, talking_to(provider.url), guard=watch)
        assert watch.said == [*MODEL, *WRITE, "check test-model"]
        spent = LimitExceeded("the task's budget is spent")
        again = Watch(refuses={"reserve model 1": spent})
        done = await go(desk, talking_to(provider.url), guard=again)
        assert isinstance(done, Done)
        assert (done.status, done.reason) == ("stopped", "the task's budget is spent")
        assert again.said == MODEL[:2]  # two steps were replayed without being asked for
        assert len(provider.received) == 1


async def test_an_answer_that_comes_back_after_a_stop_is_charged_and_discarded(desk: Desk):
    watch = Watch(refuses={"check test-model 2": Refused("stopped (global): now")})
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
    watch = Watch(refuses={"check notify 2": Refused("stopped (global): now")})
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
    watch = Watch(refuses={"check notify 1": Refused("tool:notify was stopped")})
    with serve(scripted([("notify", LETTER)], "Sent.")) as provider:
        with pytest.raises(Refused, match="tool:notify"):
            await go(desk, talking_to(provider.url), guard=watch)
        assert outside.received == []
        limits = Limits(steps=1)
        done = await go(desk, talking_to(provider.url), episode(HELLO, "messenger", limits=limits))
        assert isinstance(done, Done)
        assert (done.status, done.usage.steps) == ("stopped", 1)
    assert outside.received == []
