"""Where the text of a tenant, and where its secrets, may go is said by its policy."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Done
from dryad.execution.models.providers import OFFLINE, ModelChoice, Models
from dryad.execution.toolbox import Errand, GrantedTools
from dryad.foundation.errors import Refused
from dryad.foundation.ids import TaskId
from dryad.foundation.tools import ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, Policy, episode
from tests.dryad.execution.test_models import AGENT, choice
from tests.web import Server, reply, scripted, serve


def test_the_policy_of_a_tenant_says_where_its_text_may_go():
    def models(*providers: str, fallbacks: tuple[Any, ...] = ()) -> Models:
        chosen = choice("http://127.0.0.1:1", fallbacks=fallbacks)
        return Models(chosen, allowed=lambda tenant: providers if tenant == "acme" else None)

    assert models("openai").model_for("acme").model_name == "test-model"
    with pytest.raises(Refused, match="policy of acme does not let text go to openai"):
        models("ollama").model_for("acme")
    assert models("ollama").model_for("globex").model_name == "test-model"
    passed_over = models("ollama", fallbacks=("ollama", "offline")).model_for("acme")
    assert "openai" not in repr(passed_over.wrapped) + passed_over.model_name
    assert models(fallbacks=("offline",)).model_for("acme").degraded == OFFLINE
    with pytest.raises(Refused, match="does not let text go to openai"):
        models("ollama", fallbacks=("ollama",)).model_for(
            "acme", replace(AGENT, model={"provider": "openai"})
        )


def test_what_agents_read_may_get_to_their_models_the_installations_and_those_that_stand_in():
    models = Models(choice("http://127.0.0.1:1", fallbacks=("ollama", "offline")))
    own = replace(AGENT, model={"provider": "anthropic"})
    assert models.listeners("acme", []) == {"openai", "ollama"}
    assert models.listeners("acme", [AGENT, own]) == {"openai", "ollama", "anthropic"}
    narrow = Models(choice("http://127.0.0.1:1"), allowed=lambda _tenant: ("ollama",))
    assert narrow.listeners("acme", [AGENT, own]) == set()
    assert Models(ModelChoice()).listeners("acme", [AGENT]) == set()


WORD = "swordfish-4711"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Which technology keeps the ledger says nothing about who is told."""
    return f"sqlite:///{tmp_path / 'dryad.db'}"


@pytest.fixture
def vault(desk: Desk) -> Generator[Server]:
    """A server that tells a secret, and the tool that reads it."""
    with serve(lambda handler, _received, _number: reply(handler, 200, {"word": WORD})) as server:
        host = server.url.removeprefix("http://")
        config: dict[str, Any] = {
            "method": "GET", "base": server.url, "path": "/vault", "places": {},
            "private_hosts": [host], "reads_secrets": True,
        }  # fmt: skip
        spec = ToolSpec("vault", "1", "Tell the word.", "read", kind="http", config=config)
        desk.tools.register(ACME, spec)
        desk.tools.grant(ACME, "messenger", "vault")
        yield server


@pytest.mark.parametrize(
    ("granted", "other", "told"),
    [
        ((), None, False),
        (("ollama",), None, False),
        (("openai",), None, True),
        (("openai",), "anthropic", False),
        (("openai", "anthropic"), "anthropic", True),
    ],
)
async def test_a_secret_reaches_only_providers_that_were_granted_secrets(
    desk: Desk, vault: Server, granted: tuple[str, ...], other: str | None, told: bool
):
    """Where one agent's findings may get to another's provider, that one counts, too."""
    if other:
        named = replace(AGENT, id="other", model={"provider": other})
        desk.agents.register(ACME, named)
    policy = Policy(secret_providers=granted)
    with serve(scripted([("vault", {})], "That is all.")) as provider:
        models = Models(choice(provider.url))
        tools = GrantedTools(
            desk.tools,
            desk.toolbox,
            Errand(ACME, TaskId("task-1"), "messenger"),
            policy=lambda: policy,
            heard_by=lambda: models.listeners(ACME, desk.agents.list(ACME)),
        )
        end = await advance(
            episode("What is the word?", "messenger"),
            model=models.model_for(ACME),
            tools=tools,
            steps=desk.steps(),
        )
        assert isinstance(end, Done)
        assert len(provider.received) == 2
        assert (WORD in json.dumps([one.body for one in provider.received])) is told
    assert [one.path for one in vault.received] == (["/vault"] if told else [])
    assert [use.outcome for use in end.progress.tools] == ["done" if told else "failed"]
    assert ("does not let secrets go to" in json.dumps(end.progress.messages)) is not told
