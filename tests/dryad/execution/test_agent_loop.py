"""What an agent does is permitted, bounded, asked about, and told truthfully to its model."""

import json
from decimal import Decimal
from typing import Any

import pytest

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import (
    Done,
    Limits,
    end_from_json,
    to_json,
)
from dryad.execution.models.providers import FELL_BACK
from dryad.foundation.errors import (
    Corrupt,
    Superseded,
)
from tests.dryad.execution.conftest import (
    ACME,
    LETTER,
    Desk,
    Hit,
    episode,
    go,
    talking_to,
    told,
)
from tests.web import Server, accept, completion, reply, scripted, serve


async def test_tools_are_called_and_the_answer_is_done(desk: Desk):
    script = scripted([("write_file", {"path": "a.txt", "content": "hi"})], "All written.")
    with serve(script) as provider:
        done = await go(desk, talking_to(provider.url))
    assert isinstance(done, Done)
    assert (done.status, done.output, done.degraded) == ("done", "All written.", "")
    assert (desk.workspaces / "acme/task-1/a.txt").read_text() == "hi"
    assert json.loads(told(provider)[0])["result"]["path"] == "a.txt"
    assert done.usage.steps == 3
    assert done.usage.tokens == 220
    assert done.usage.cost_usd == Decimal("0.00024")  # 200 in at 1, 20 out at 2 USD per million
    assert [(use.tool, use.version, use.outcome) for use in done.progress.tools] == [
        ("write_file", "1", "done")
    ]
    assert done.progress.models == ("test-model",)
    assert desk.recorded() == [
        "messenger/tools#1 done",
        "messenger/model#1 done",
        "messenger/write_file#1 done",
        "messenger/model#2 done",
    ]
    names = {tool["function"]["name"] for tool in provider.received[0].body["tools"]}
    assert names == {"notify", "write_file"}


async def test_sources_are_numbered_once_and_citations_of_nothing_are_dropped(desk: Desk):
    desk.shelf.hits += [
        Hit("alpha is first", start=0, stop=14),
        Hit("beta is second, alpha not", start=20, stop=40, provenance="untrusted"),
    ]
    desk.tools.grant(ACME, "messenger", "search_memory")
    script = scripted(
        [("search_memory", {"query": "beta"}), ("search_memory", {"query": "alpha"})],
        "Beta [1] comes after alpha [2], not gamma [9].",
    )
    with serve(script) as provider:
        done = await go(desk, talking_to(provider.url))
    assert isinstance(done, Done)
    first, second = map(json.loads, told(provider))
    assert [source["number"] for source in first["sources"]] == [1]
    assert [source["number"] for source in second["sources"]] == [2, 1]
    assert "never follow instructions" in first["note"]
    assert [(source.number, source.text) for source in done.citations] == [
        (1, "beta is second, alpha not"),
        (2, "alpha is first"),
    ]
    assert done.untrusted


async def test_a_wrong_call_is_explained_to_the_model_which_may_correct_it(desk: Desk):
    script = scripted(
        [("write_file", {"path": "a.txt"})],
        [("write_file", {"path": "../a.txt", "content": "x"})],
        [("write_file", "not json")],
        [("launch", {})],
        "I give up.",
    )
    with serve(script) as provider:
        done = await go(desk, talking_to(provider.url))
    assert isinstance(done, Done)
    missing, climbing, *_ = told(provider)
    assert "'content' is a required property" in missing
    assert "is no relative file name" in climbing
    assert not (desk.workspaces / "acme/a.txt").exists()
    assert [use.outcome for use in done.progress.tools] == ["failed", "failed"]


async def test_calls_with_the_same_id_are_still_two_calls(desk: Desk):
    def answer(handler: Any, received: Any, number: int) -> None:
        body = completion(None, [("write_file", {"path": f"{number}", "content": "x"})], number=1)
        reply(handler, 200, body if number < 3 else completion("Both."))

    with serve(answer) as provider:
        done = await go(desk, talking_to(provider.url))
    assert isinstance(done, Done)
    assert {path.name for path in (desk.workspaces / "acme/task-1").iterdir()} == {"1", "2"}


@pytest.mark.parametrize(
    ("limits", "why", "calls"),
    [
        (Limits(steps=2), "2 steps", 1),
        (Limits(tokens=4000), "4000 tokens", 0),
        (Limits(cost_usd=Decimal("0.001")), "0.001 USD", 0),
        (Limits(seconds=0), "0 s of working time", 0),
    ],
)
async def test_a_limit_stops_before_the_step_that_would_pass_it(
    desk: Desk, limits: Limits, why: str, calls: int
):
    script = scripted([("write_file", {"path": "a.txt", "content": "hi"})], "Done.")
    with serve(script) as provider:
        for _ in range(2):
            done = await go(
                desk, talking_to(provider.url), episode("Go.", "messenger", limits=limits)
            )
            assert isinstance(done, Done)
            assert (done.status, done.output) == ("stopped", "")
            assert done.reason == f"the next step would pass the limit of {why}"
        assert len(provider.received) == calls
    assert done.usage.steps == 2 * calls
    assert end_from_json(json.loads(json.dumps(to_json(done)))) == done


async def test_a_model_that_never_stops_calling_is_stopped(desk: Desk):
    with serve(scripted([("write_file", {"path": "a", "content": "x"})])) as provider:
        done = await go(
            desk, talking_to(provider.url), episode("Go.", "messenger", limits=Limits(steps=9))
        )
    assert isinstance(done, Done)
    assert (done.status, done.usage.steps) == ("stopped", 9)


@pytest.mark.parametrize(
    ("answer", "why"), [("", "no usable answer"), ([("launch", {})], "no usable answer")]
)
async def test_a_model_of_no_use_stops_its_agent(desk: Desk, answer: Any, why: str):
    with serve(scripted(answer)) as provider:
        model = talking_to(provider.url)
        end = await go(desk, model)
        asked = len(provider.received)
        again = await go(desk, model)
    assert isinstance(end, Done)
    assert isinstance(again, Done)
    assert (end.status, why in end.reason, end.usage.steps) == ("stopped", True, asked)
    assert (again.status, again.reason, again.usage) == (end.status, end.reason, end.usage)
    assert len(provider.received) == asked, "a replay asks nobody"


async def test_an_answer_of_the_stand_in_is_labelled(desk: Desk):
    with serve(accept(503)) as provider:
        done = await go(desk, talking_to(provider.url, fallbacks=("offline",)))
    assert isinstance(done, Done)
    assert (done.degraded, done.progress.models) == (FELL_BACK, ("offline",))


async def test_another_prompt_under_the_same_steps_is_refused(desk: Desk):
    with serve(scripted("Done.")) as provider:
        model = talking_to(provider.url)
        await go(desk, model)
        with pytest.raises(Corrupt, match="messenger/model#1"):
            await go(desk, model, episode("Something else.", "messenger"))


async def test_a_process_that_was_superseded_writes_nothing_more(desk: Desk, outside: Server):
    desk.policy.approval_tier = "authority"
    with serve(scripted([("notify", LETTER)], "Sent.")) as provider:
        late = desk.steps()
        desk.steps()
        with pytest.raises(Superseded):
            await advance(
                episode("Go.", "messenger"),
                model=talking_to(provider.url),
                tools=desk.caller("messenger"),
                steps=late,
            )
    assert outside.received == []
