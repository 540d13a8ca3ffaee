"""A provider that fails fails clearly, in time, without its key, and never silently."""

import time
import traceback
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from dryad.execution.agents import AgentSpec
from dryad.execution.models.language import Language
from dryad.execution.models.prices import FREE, PerToken, listed, read_prices, stated
from dryad.execution.models.providers import OFFLINE, ModelChoice, Models
from dryad.execution.models.retries import RetryBudget, pause, retry_after
from dryad.foundation.errors import Corrupt, DryadError, InvalidRequest, Refused, Unavailable
from tests.servers import free_port
from tests.web import Answer, never_ending, reply, scripted, serve

KEY = "sk-planted-secret-0123456789"

AGENT = AgentSpec("ada", "Ada", "analyst", "Count.", "Count.", {})


def choice(url: str, **more: Any) -> ModelChoice:
    base = ModelChoice(
        provider="openai",
        openai_base_url=url,
        openai_api_key=KEY,
        model="test-model",
        price="1,2",
        timeout=timedelta(seconds=5),
        retries=0,
    )
    return replace(base, **more)


async def ask(model: Language, text: str = "What is a lease?") -> ModelResponse:
    async with model:
        return await model.request(
            [ModelRequest(parts=[UserPromptPart(text)])], None, ModelRequestParameters()
        )


def status(code: int, body: Any = b"") -> Answer:
    return lambda handler, _received, _number: reply(handler, code, body)


async def test_an_answer_is_priced_and_the_key_is_sent():
    with serve(scripted("Thirty seconds.")) as provider:
        response = await ask(Models(choice(provider.url)).model_for("acme"))
    assert response.parts == [TextPart("Thirty seconds.")]
    assert response.usage.total_tokens == 110
    assert response.usage.cost == Decimal("0.00012")
    (received,) = provider.received
    assert received.headers["Authorization"] == f"Bearer {KEY}"
    assert received.body["model"] == "test-model"
    assert received.body["messages"][-1]["content"] == "What is a lease?"


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (400, Refused, "refused the request"),
        (401, Refused, "does not accept the key"),
        (403, Refused, "does not accept the key"),
        (404, Refused, "refused the request"),
        (429, Unavailable, "not available"),
        (500, Unavailable, "not available"),
        (503, Unavailable, "not available"),
    ],
)
async def test_a_refusal_names_its_status_and_never_the_key(
    code: int, error: type[DryadError], says: str
):
    body = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "x", "code": "y"}}
    with serve(status(code, body)) as provider:
        with pytest.raises(error, match=rf"{says} \(HTTP {code}\)") as caught:
            await ask(Models(choice(provider.url)).model_for("acme"))
        assert len(provider.received) == 1  # asked once: a retry is the task's to decide
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "answer",
    [
        status(200, b"<html>not a model</html>"),
        status(200, {"choices": []}),
        status(200, {"hello": "world"}),
        status(200, b'{"choices": [{"message"'),
        status(200, b""),
    ],
)
async def test_garbage_is_a_clear_failure(answer: Answer):
    with serve(answer) as provider, pytest.raises(Unavailable, match="test-model"):
        await ask(Models(choice(provider.url)).model_for("acme"))


async def test_an_answer_that_never_ends_is_cut_off_in_time():
    with serve(never_ending) as provider:
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s"):
            await ask(
                Models(choice(provider.url, timeout=timedelta(seconds=0.5))).model_for("acme")
            )
        assert time.monotonic() - started < 4


async def test_nobody_there_is_unavailable():
    with pytest.raises(Unavailable, match="not available"):
        await ask(Models(choice(f"http://127.0.0.1:{free_port()}")).model_for("acme"))


@pytest.mark.parametrize("code", [429, 500])
async def test_a_fallback_is_said_aloud_and_labelled(code: int):
    heard: list[tuple[str, str]] = []
    with serve(status(code)) as provider:
        models = Models(
            choice(provider.url, fallbacks=("offline",)), on_fallback=lambda *a: heard.append(a)
        )
        assert models.degraded == ""
        response = await ask(models.model_for("acme"))
    assert response.provider_name == "offline"
    assert heard == [("test-model", f"model test-model is not available (HTTP {code})")]


@pytest.mark.parametrize("answer", [status(400), status(401), status(403), status(200, b"garbage")])
async def test_a_refused_request_or_a_garbled_answer_never_falls_back(answer: Answer):
    heard: list[Any] = []
    with serve(answer) as provider, pytest.raises((Refused, Unavailable)):
        await ask(
            Models(
                choice(provider.url, fallbacks=("offline",)), on_fallback=lambda *a: heard.append(a)
            ).model_for("acme")
        )
    assert heard == []


async def test_each_provider_that_is_down_is_named_and_the_next_one_answers():
    heard: list[str] = []
    nobody = f"http://127.0.0.1:{free_port()}"
    with serve(status(503)) as provider:
        chain = choice(provider.url, fallbacks=("ollama", "offline"), ollama_base_url=nobody)
        models = Models(chain, on_fallback=lambda model, _reason: heard.append(model))
        response = await ask(models.model_for("acme"))
    assert response.provider_name == "offline"
    assert heard == ["test-model", "llama3.2"]


async def test_when_all_providers_fail_it_is_said():
    nobody = f"http://127.0.0.1:{free_port()}"
    with serve(status(500)) as provider:
        chain = Models(choice(provider.url, fallbacks=("ollama",), ollama_base_url=nobody))
        with pytest.raises(Unavailable, match=r"llama3\.2 is not available"):
            await ask(chain.model_for("acme"))


async def test_ollama_is_asked_at_its_address_and_is_free():
    with serve(scripted("Hello.")) as provider:
        model = Models(ModelChoice(provider="ollama", ollama_base_url=provider.url)).model_for("a")
        response = await ask(model)
    assert provider.received[0].path == "/v1/chat/completions"
    assert provider.received[0].body["model"] == "llama3.2"
    assert response.usage.cost == 0
    assert KEY not in str(provider.received[0].headers)


async def test_anthropic_is_asked_in_its_own_format():
    def answer(handler: Any, _received: Any, _number: int) -> None:
        reply(handler, 200, {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
            "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1000, "output_tokens": 10},
        })  # fmt: skip

    with serve(answer) as provider:
        models = Models(
            ModelChoice(
                provider="anthropic", anthropic_api_key=KEY, anthropic_base_url=provider.url
            )
        )
        response = await ask(models.model_for("acme"))
    assert response.parts == [TextPart("Hello.")]
    assert provider.received[0].path == "/v1/messages"
    assert provider.received[0].headers["Authorization"] == f"Bearer {KEY}"
    assert response.usage.cost is not None
    assert response.usage.cost > 0


async def test_an_agent_may_have_a_model_of_its_own():
    with serve(scripted("Hello.")) as provider:
        prices = {"openai/better-model": stated("3,4")}
        models = Models(choice(provider.url, prices=prices))
        own = replace(AGENT, model={"model": "better-model"})
        assert models.model_for("acme", own).price == PerToken(Decimal(3), Decimal(4))
        with pytest.raises(Refused, match="price of model 'worse-model'"):
            models.model_for("acme", replace(AGENT, model={"model": "worse-model"}))
        await ask(models.model_for("acme", own))
        assert provider.received[0].body["model"] == "better-model"
        quiet = models.model_for("acme", replace(AGENT, model={"provider": "offline"}))
        assert quiet.degraded == OFFLINE
        with pytest.raises(InvalidRequest, match="no model provider 'oracle'"):
            models.model_for("acme", replace(AGENT, model={"provider": "oracle"}))


def test_a_key_shows_in_no_text_of_a_choice_or_model():
    made = choice("http://127.0.0.1:1")
    assert KEY not in repr(made)
    assert KEY not in repr(Models(made).model_for("acme"))


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_provider_without_its_key_is_refused_before_it_is_asked(provider: Any):
    with pytest.raises(Refused, match="needs a key"):
        Models(ModelChoice(provider=provider)).model_for("acme")


def test_an_unknown_price_is_refused_unless_it_is_given():
    with pytest.raises(Refused, match="price of model 'test-model' at http"):
        Models(choice("http://127.0.0.1:1", price=None)).model_for("acme")
    with pytest.raises(Refused, match="price of openai model 'gpt-99'"):
        listed("openai", "gpt-99")
    assert listed("openai", "gpt-4o-mini") == PerToken(Decimal("0.15"), Decimal("0.6"))
    assert stated("0,0") == FREE
    official = ModelChoice(provider="openai", openai_api_key=KEY, price="7,8")
    listed_one = Models(replace(official, model="gpt-4o-mini")).model_for("acme")
    assert listed_one.price == PerToken(Decimal("0.15"), Decimal("0.6"))
    unlisted = Models(replace(official, model="gpt-99")).model_for("acme")
    assert unlisted.price == PerToken(Decimal(7), Decimal(8))
    assert stated(" 0.5 , 1.5").usd(2_000_000, 1_000_000) == Decimal("2.5")
    for text in ("1", "a,b", "-1,2", "1,2,3", "nan,1", "inf,1", ""):
        with pytest.raises(InvalidRequest, match="two amounts"):
            stated(text)


def test_an_operator_says_what_models_cost(tmp_path: Path):
    file = tmp_path / "prices.json"
    assert read_prices(file) == {}
    file.write_text('{"openai/gpt-99": "7,8", "anthropic/*": "free"}')
    prices = read_prices(file)
    assert prices == {"openai/gpt-99": PerToken(Decimal(7), Decimal(8)), "anthropic/*": FREE}
    models = Models(ModelChoice(openai_api_key=KEY, anthropic_api_key=KEY, prices=prices))
    for model, price in (
        ({"provider": "openai", "model": "gpt-99"}, prices["openai/gpt-99"]),
        ({"provider": "anthropic", "model": "claude-99"}, FREE),
    ):
        assert models.model_for("acme", replace(AGENT, model=model)).price == price
    with pytest.raises(Refused, match="price of openai model 'gpt-98' is unknown") as refusal:
        models.model_for("acme", replace(AGENT, model={"provider": "openai", "model": "gpt-98"}))
    assert "prices.json" in refusal.value.next_step
    for wrong in ("[]", '{"openai/x": 1}', '{"openai/x": "cheap"}', "{"):
        file.write_text(wrong)
        with pytest.raises(Corrupt, match="no list of prices"):
            read_prices(file)


def test_a_key_that_is_not_in_the_environment_is_looked_for_elsewhere():
    elsewhere = {"openai": "sk-block", "anthropic": "sk-block-too"}
    asked: list[str] = []

    def key_of(provider: str) -> str | None:
        asked.append(provider)
        return elsewhere.get(provider)

    base = ModelChoice(other_keys=key_of, prices={"openai/*": FREE, "anthropic/*": FREE})
    for provider in elsewhere:
        Models(base).model_for("acme", replace(AGENT, model={"provider": provider}))
    assert asked == ["openai", "anthropic"]
    Models(replace(base, openai_api_key=KEY)).model_for(
        "acme", replace(AGENT, model={"provider": "openai"})
    )
    assert asked == ["openai", "anthropic"], "the environment wins"
    assert "sk-block" not in repr(Models(base))


# -- asked again


def flaky(*codes: int, **headers: str) -> Answer:
    """Fail with these codes one after the other, then answer."""
    answer = scripted("At last.")

    def say(handler: Any, received: Any, number: int) -> None:
        if number <= len(codes):
            reply(handler, codes[number - 1], {"error": KEY}, **headers)
        else:
            answer(handler, received, number)

    return say


@pytest.mark.parametrize("codes", [(503,), (429, 500)])
async def test_a_provider_that_is_down_is_asked_again(codes: tuple[int, ...]):
    heard: list[str] = []
    with serve(flaky(*codes)) as provider:
        models = Models(
            choice(provider.url, retries=2, timeout=timedelta(seconds=30)),
            on_retry=lambda _model, reason: heard.append(reason),
        )
        response = await ask(models.model_for("acme"))
    assert response.parts == [TextPart("At last.")]
    assert len(provider.received) == len(codes) + 1
    assert all(f"HTTP {code}" in reason for code, reason in zip(codes, heard, strict=True))
    assert KEY not in str(heard)


async def test_it_is_asked_so_often_and_then_the_next_one_is():
    with serve(flaky(*[503] * 9)) as provider:
        chain = choice(
            provider.url, retries=2, fallbacks=("offline",), timeout=timedelta(seconds=30)
        )
        response = await ask(Models(chain).model_for("acme"))
    assert response.provider_name == "offline"
    assert len(provider.received) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404])
async def test_what_is_refused_is_not_asked_again(code: int):
    with serve(flaky(code, code)) as provider, pytest.raises(Refused):
        await ask(Models(choice(provider.url, retries=5)).model_for("acme"))
    assert len(provider.received) == 1


async def test_nothing_is_asked_again_beyond_its_time():
    """The server wants to be left alone for longer than an answer may take."""
    with serve(flaky(503, **{"Retry-After": "60"})) as provider:
        with pytest.raises(Unavailable, match="not available"):
            await ask(Models(choice(provider.url, retries=5)).model_for("acme"))
        assert len(provider.received) == 1


async def test_all_models_of_a_process_share_their_retries():
    with serve(flaky(*[503] * 99)) as provider:
        models = Models(choice(provider.url, retries=1, timeout=timedelta(seconds=30)))
        spent = RetryBudget()
        while spent.take():
            pass
        models._budget = spent
        for _ in range(5):
            with pytest.raises(Unavailable):
                await ask(models.model_for("acme"))
    assert len(provider.received) == 5


@given(st.lists(st.sampled_from(["request", "retry"]), max_size=300))
def test_retries_stay_a_share_of_what_was_asked(doings: list[str]):
    budget, requests, retries = RetryBudget(spare=5, share=0.2), 0, 0
    for doing in doings:
        if doing == "request":
            budget.requested()
            requests += 1
        else:
            retries += budget.take()
        assert retries <= 5 + 0.2 * requests + 1e-9


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 30))
def test_waits_are_spread_and_bounded(attempt: int, chance: float, asked_for: float):
    waited = pause(attempt, chance, asked_for=asked_for)
    assert asked_for <= waited <= asked_for + 8
    assert pause(attempt, 0, asked_for=asked_for) == asked_for
    assert pause(attempt + 1, 1) >= pause(attempt, 1)


def test_only_a_plain_number_of_seconds_is_believed():
    assert retry_after({"retry-after": " 7 "}) == 7
    for said in (None, {}, {"retry-after": "Wed, 21 Oct 2026"}, {"retry-after": "-1"}):
        assert retry_after(said) == 0


def test_the_most_a_call_may_use_is_counted_before_it_is_made():
    model = Models(choice("http://127.0.0.1:1")).model_for("acme")
    tokens, usd = model.most(3000)
    assert (tokens, usd) == (5096, Decimal("0.009192"))
    assert Models(ModelChoice()).model_for("acme").most(3000) == (0, 0)


async def test_without_a_model_the_installation_says_so():
    models = Models(ModelChoice())
    assert models.degraded == OFFLINE
    response = await ask(models.model_for("acme"), "?!")
    assert response.provider_name == "offline"
    assert response.usage.total_tokens == 0
