"""A key of a model provider may stand in a block: runs find it, and nobody reads it anywhere."""

import asyncio
import sqlite3

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from pydantic import SecretStr

from blocks.model_keys import NAME, OpenAIKey, ensure, key_of
from dryad.bootstrap import Services
from dryad.foundation.ids import TenantId
from tests.dryad.execution.test_models import ask
from tests.web import scripted, serve

KEY = "sk-planted-block-0123456789"


def in_the_ui(key: str) -> None:
    """Put a key into the block, as somebody does in the UI."""
    with get_client(sync_client=True) as client:
        ensure(client)
    OpenAIKey(api_key=SecretStr(key)).save(NAME, overwrite=True)
    key_of.cache_clear()


def test_the_blocks_are_made_once_and_keep_what_is_put_into_them(installation: Services):
    in_the_ui(KEY)
    with get_client(sync_client=True) as client:
        ensure(client)
        kinds = {block.slug for block in client.read_block_types()}
    assert {"dryad-openai-key", "dryad-anthropic-key"} <= kinds
    assert (key_of("openai"), key_of("anthropic"), key_of("ollama")) == (KEY, None, None)


async def test_a_run_shows_the_key_of_the_block_and_nobody_else_sees_it(
    monkeypatch: pytest.MonkeyPatch, prefect_harness: None, request: pytest.FixtureRequest
):
    with serve(scripted("Hello.")) as provider:
        monkeypatch.setenv("DRYAD_LLM_PROVIDER", "openai")
        monkeypatch.setenv("DRYAD_LLM_PRICE_USD_PER_MTOK", "0,0")
        monkeypatch.setenv("DRYAD_OPENAI_BASE_URL", provider.url)
        house: Services = request.getfixturevalue("installation")
        await asyncio.to_thread(in_the_ui, KEY)
        await ask(house.models.model_for(TenantId("acme")))
    assert provider.received[0].headers["Authorization"] == f"Bearer {KEY}"
    url = get_current_settings().server.database.connection_url
    assert url is not None
    place = url.get_secret_value().partition(":///")[2]
    with sqlite3.connect(f"file:{place}?mode=ro", uri=True) as prefect:
        assert not [line for line in prefect.iterdump() if KEY in line]
    logs = house.settings.logs_dir.glob("*.log")
    assert not [file for file in logs if KEY in file.read_text()]
