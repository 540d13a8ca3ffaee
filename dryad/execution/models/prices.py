"""What a model's tokens cost. A price nobody knows is no price: the model is refused."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Protocol

from dryad.foundation.errors import InvalidRequest, Refused

_MILLION = Decimal(1_000_000)


class Price(Protocol):
    """USD for tokens of one model."""

    def usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what so many tokens cost."""
        ...


@dataclass(frozen=True)
class PerToken:
    """A flat price, in USD per million tokens."""

    input: Decimal
    output: Decimal

    def usd(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what so many tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / _MILLION


FREE = PerToken(Decimal(0), Decimal(0))
"""One's own machine, or no model at all."""


def stated(text: str) -> PerToken:
    """Read `input,output` in USD per million tokens, as the setting has it.

    Raises:
        InvalidRequest: not two amounts, or a negative one.
    """
    try:
        amounts = [Decimal(part.strip()) for part in text.split(",")]
    except InvalidOperation:
        amounts = []
    if len(amounts) != 2 or not all(a.is_finite() and 0 <= a < _MILLION for a in amounts):
        raise InvalidRequest(
            f"a price is two amounts like '0.15,0.60', got {text[:40]!r}",
            "Set DRYAD_LLM_PRICE_USD_PER_MTOK to input,output in USD per million tokens.",
        )
    return PerToken(*amounts)


def listed(provider: str, model: str) -> PerToken:
    """Return the published price of a provider's model, at its dearest rate.

    The data is the `genai-prices` package's. Where a price depends on the length of the prompt,
    or of the day, the highest is taken: a limit is then met early rather than late.

    Raises:
        Refused: nobody published one.
    """
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - half a second of data

    def highest(tokens: Usage) -> Decimal:
        return calc_price(tokens, model, provider_id=provider).total_price

    try:
        price = PerToken(
            highest(Usage(input_tokens=1_000_000)), highest(Usage(output_tokens=1_000_000))
        )
    except (LookupError, ValueError) as error:
        raise Refused(
            f"the price of {provider} model {model[:80]!r} is unknown",
            "Set DRYAD_LLM_PRICE_USD_PER_MTOK to input,output; '0,0' says it is free.",
        ) from error
    return price
