"""A real model server on the wire: what it answers has the shape the loop needs, whatever it says.

Meaning is never asserted: the model is tiny. The group `wire` brings it.
"""

import asyncio
import subprocess
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic_ai.messages import TextPart

from dryad.execution.episodes import Done, Progress
from dryad.execution.models.language import Language
from dryad.execution.models.providers import ModelChoice, Models
from dryad.execution.models.structured import ask_for
from dryad.execution.telling import ask as describe
from dryad.foundation.database import Database
from dryad.foundation.errors import Refused, Unavailable
from dryad.orchestration.critic import criticise
from dryad.orchestration.findings import Finding
from dryad.orchestration.model_planner import plan_with
from tests.dryad.execution.conftest import Desk, done_by, episode
from tests.dryad.execution.test_models import ask
from tests.dryad.orchestration.conftest import build
from tests.servers import free_port, listens, wait_for
from tests.services import need
from tests.small_model import CONTEXT_TOKENS


@pytest.fixture(scope="module")
def address() -> Generator[str]:
    """Where the model is."""
    need("llm")
    port = free_port()
    command = [sys.executable, "-m", "tests.small_model", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}/v1"

        def ready() -> bool:
            assert server.poll() is None, "the model server ended"
            return listens(port) and httpx.get(f"{url}/models", trust_env=False).is_success

        try:
            wait_for("the small model", ready, seconds=120)
            yield url
        finally:
            server.kill()


def small(address: str, *, answer: int = 48, seconds: float = 120) -> Language:
    choice = ModelChoice(
        provider="openai",
        openai_base_url=address,
        model="smollm2-135m",
        price="1,2",
        timeout=timedelta(seconds=seconds),
        retries=0,
    )
    language = Models(choice).model_for("acme")
    language.max_output_tokens = answer
    return language


async def test_an_answer_has_text_and_is_counted_and_priced(address: str):
    response = await ask(small(address), "Say hello.")
    (text,) = response.parts
    assert isinstance(text, TextPart)
    assert text.content.strip()
    usage = response.usage
    assert usage.input_tokens > 0
    assert 0 < usage.output_tokens <= 48
    assert usage.cost is not None
    assert float(usage.cost) == pytest.approx(
        (usage.input_tokens + 2 * usage.output_tokens) / 1_000_000
    )


async def test_an_agent_comes_to_its_end(desk: Desk, address: str):
    done = await done_by(desk, small(address), episode("What is a lease?", "analyst"))
    assert done.status == "done"
    assert done.output.strip()
    assert done.usage.steps >= 1
    assert done.usage.tokens > 0
    assert done.progress.models == ("smollm2-135m",)


def test_json_of_an_agreed_shape_is_answered_so(address: str):
    shape = {
        "title": "judgement",
        "type": "object",
        "additionalProperties": False,
        "required": ["good", "why"],
        "properties": {
            "good": {"type": "boolean"},
            "why": {"type": "string", "maxLength": 40},
        },
    }
    found = ask_for(
        small(address, answer=128),
        instructions="Judge the text.",
        prompt="All is well.",
        shape=shape,
        most_tokens=10_000,
    )
    assert set(found.value) == {"good", "why"}
    assert isinstance(found.value["good"], bool)
    assert found.tokens > 0


def test_whatever_it_plans_there_is_a_plan(address: str):
    planned = plan_with(
        lambda: small(address, answer=256),
        "Explain leases. Then explain stops.",
        capabilities={"research", "compute"},
        tools={"search_memory"},
        most_tokens=10_000,
    )
    assert planned.plan.steps
    assert planned.refused or planned.by == "smollm2-135m"


async def test_more_than_it_can_read_is_refused_and_not_asked_again(address: str):
    with pytest.raises(Refused, match="refused the request"):
        await ask(small(address), "hello " * 2 * CONTEXT_TOKENS)


async def test_it_is_cut_off_in_time_and_answers_the_next_one(address: str):
    with pytest.raises(Unavailable, match=r"did not answer within 0\.05 s"):
        await ask(small(address, answer=1000, seconds=0.05), "Count from one to a thousand.")
    assert (await asyncio.wait_for(ask(small(address), "Hello."), 120)).parts


def test_whatever_it_objects_to_is_about_members(address: str, database: Database, tmp_path: Path):
    chosen = build(database, tmp_path).decide("Explain how leases end; calculate 3 times 5")
    findings = [
        Finding(seat, Done("done", text, Progress()))
        for seat, text in zip(chosen.seats, ("A lease ends after 30 s.", "14"), strict=True)
    ]
    heard = criticise(
        lambda: small(address, answer=256), "Two parts.", chosen, findings, most_tokens=10_000
    )
    assert heard.by == "smollm2-135m" or heard.refused
    assert heard.tokens > 0 or heard.refused
    assert heard.objections.keys() <= {seat.member for seat in chosen.seats}


def test_a_note_is_described_or_left_to_rules(address: str):
    text = "Ada Lovelace wrote the first program for the Analytical Engine."
    told = describe(small(address, answer=1_500), text, most_tokens=10_000)
    assert told.tokens > 0
    if told.by:
        assert told.title
        assert told.summary
        assert all(name.casefold() in text.casefold() for name in told.entities)
