"""Ask a language model for JSON of an agreed shape, once, within a limit."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic_ai import Agent, NativeOutput, StructuredDict
from pydantic_ai.exceptions import AgentRunError

from dryad.execution.models.language import Language, in_our_words
from dryad.foundation.errors import LimitExceeded

_RETRIES = 1


@dataclass(frozen=True)
class Structured:
    """What a model answered, and what it took. Its shape was asked for; nothing else is checked."""

    value: dict[str, Any]
    model: str
    tokens: int
    cost_usd: Decimal


def ask_for(
    language: Language,
    *,
    instructions: str,
    prompt: str,
    shape: Mapping[str, Any],
    most_tokens: int,
) -> Structured:
    """Return a JSON object by a schema. Blocks; call it where no event loop runs.

    Args:
        language: Who is asked.
        instructions: What it is to do.
        prompt: About what.
        shape: JSON schema of an object, with a `title`.
        most_tokens: What prompt and answer may use.

    Raises:
        LimitExceeded: the answer could use more than `most_tokens`.
        Unavailable: there was none, or none of use.
        Refused: the provider refused.
    """
    most, _ = language.most(len(instructions.encode()) + len(prompt.encode()))
    if most > most_tokens:
        raise LimitExceeded(f"an answer may use {most:,} tokens, and {most_tokens:,} are left")
    agent = Agent(
        language,
        instructions=instructions,
        output_type=_asked(language, StructuredDict(dict(shape), name=str(shape["title"]))),
        retries=_RETRIES,
    )

    async def answered() -> Any:
        async with language:  # its connections belong to this loop
            return await agent.run(prompt)

    try:
        result = asyncio.run(answered())
    except AgentRunError as error:
        raise in_our_words(error, language.model_name) from None
    usage = result.usage
    return Structured(
        result.output, language.model_name, usage.total_tokens, usage.cost or Decimal(0)
    )


def _asked(language: Language, shape: Any) -> Any:
    """Return how the shape is asked for: of servers that can be held to a schema, so.

    Small models rarely call the tool that would carry it, and keep to a grammar always.
    """
    return NativeOutput(shape) if language.system in {"openai", "ollama"} else shape
