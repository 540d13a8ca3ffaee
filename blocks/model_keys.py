"""Keys of model providers, for who would rather edit them in the UI than in the environment.

A block named `dryad` of each kind is there after the first start, without a key. A key in the
environment wins over it. Only processes that carry runs read them, and only when they need one.
"""

from functools import cache
from typing import ClassVar

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr

from dryad.foundation import logs

NAME = "dryad"

log = logs.get_logger("blocks")


class OpenAIKey(Block):
    """The key runs show to OpenAI, or to a server compatible with it."""

    _block_type_name: ClassVar[str | None] = "DRYAD key for OpenAI"
    _block_type_slug: ClassVar[str | None] = "dryad-openai-key"

    api_key: SecretStr = Field(default=SecretStr(""), title="Key")


class AnthropicKey(Block):
    """The key runs show to Anthropic."""

    _block_type_name: ClassVar[str | None] = "DRYAD key for Anthropic"
    _block_type_slug: ClassVar[str | None] = "dryad-anthropic-key"

    api_key: SecretStr = Field(default=SecretStr(""), title="Key")


KINDS: dict[str, type[OpenAIKey] | type[AnthropicKey]] = {
    "openai": OpenAIKey,
    "anthropic": AnthropicKey,
}


def ensure(client: SyncPrefectClient) -> None:
    """See that a block of each kind is there; one that is keeps what somebody put into it."""
    for kind in KINDS.values():
        if _document(client, kind) is None:
            kind.register_type_and_schema()
            kind().save(NAME)


@cache
def key_of(provider: str) -> str | None:
    """Return a provider's key as its block has it, once per process; None without one."""
    kind = KINDS.get(provider)
    if kind is None:
        return None
    with get_client(sync_client=True) as client:
        found = _document(client, kind)
    key = None if found is None else str(found.get("api_key") or "") or None
    log.info("key_looked_up", provider=provider, found=key is not None)
    return key


def _document(
    client: SyncPrefectClient, kind: type[OpenAIKey] | type[AnthropicKey]
) -> dict[str, object] | None:
    try:
        found = client.read_block_document_by_name(
            NAME, kind.get_block_type_slug(), include_secrets=True
        )
    except ObjectNotFound:
        return None
    return dict(found.data)
