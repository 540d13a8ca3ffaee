"""What a model's tokens cost. A price nobody knows is no price: the model is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from dryad.foundation.errors import Corrupt, InvalidRequest, Refused

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


UNPRICED = (
    "Put it into prices.json in the home, or set DRYAD_LLM_PRICE_USD_PER_MTOK to input,output; "
    "'0,0' says it is free."
)
"""What to do about a model without a price."""

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


def read_prices(file: Path) -> Mapping[str, PerToken]:
    """Return the prices of `{"provider/model": "input,output"}`; none when there is no such file.

    `"provider/*"` prices every model of a provider; `"free"` is `"0,0"`.

    Raises:
        Corrupt: the file says something else.
    """
    if not file.exists():
        return {}
    try:
        said = TypeAdapter(dict[str, str]).validate_json(file.read_bytes())
        return {name: FREE if text == "free" else stated(text) for name, text in said.items()}
    except (ValidationError, InvalidRequest) as error:
        raise Corrupt(
            f"{file} is no list of prices",
            'It holds {"provider/model": "0.15,0.60"}, in USD per million tokens, or "free".',
        ) from error


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
            UNPRICED,
        ) from error
    return price
