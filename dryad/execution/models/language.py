"""One language model as the agent loop sees it: bounded, priced, and failing in our own words."""

import asyncio
import itertools
import random
from collections.abc import Callable
from decimal import Decimal

from pydantic_ai.exceptions import (
    AgentRunError,
    FallbackExceptionGroup,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from dryad.execution.models.prices import Price
from dryad.execution.models.retries import RetryBudget, pause, retry_after
from dryad.foundation.errors import DryadError, Refused, Unavailable

_BYTES_PER_TOKEN = 3
"""A cautious reading: English text has about four bytes a token."""


class Down(Unavailable):
    """A timeout, a lost connection, HTTP 429 or 5xx: another provider may be asked instead.

    A refused key or request never falls back silently, and neither does a garbled answer.
    """

    model = ""
    """Which model is down."""
    again_in: float | None = None
    """The least to wait before it is asked again, in seconds; None: it took all its time."""

    @classmethod
    def of(cls, model: str, what: str, *, again_in: float | None = None) -> "Down":
        """Say of a model that it is down."""
        down = cls(f"model {model} {what}")
        down.model, down.again_in = model, again_in
        return down


class Language(WrapperModel):
    """A model with a price, a deadline, and a reason when it is less than a language model.

    Every failure leaves it as a `DryadError` without the provider's body, which may repeat a key.
    """

    def __init__(
        self,
        wrapped: Model,
        *,
        price: Price,
        seconds: float,
        degraded: str = "",
        max_output_tokens: int = 4096,
        retries: int = 0,
        budget: RetryBudget | None = None,
        on_retry: Callable[[str, str], None] = lambda _model, _reason: None,
    ) -> None:
        """Wrap a model.

        Args:
            wrapped: The provider's own.
            price: What its tokens cost.
            seconds: The longest one request may take, with all its retries.
            degraded: Why it is less than a language model, or ''.
            max_output_tokens: The longest answer.
            retries: How often it is asked again when it is down, at most.
            budget: The retries left to this process; default one of its own.
            on_retry: Told of each, with the model's name and what was wrong.
        """
        super().__init__(wrapped)
        self._retries = retries
        self._budget = budget or RetryBudget()
        self._on_retry = on_retry
        self.price = price
        self.seconds = seconds
        self.degraded = degraded
        self.max_output_tokens = max_output_tokens

    @property
    def counts_tokens(self) -> bool:
        """Whether a call uses tokens at all."""
        return not self.degraded

    def most(self, prompt_bytes: int) -> tuple[int, Decimal]:
        """Return the most tokens and USD that one call with such a prompt is expected to use."""
        if not self.counts_tokens:
            return 0, Decimal(0)
        asked = -(-prompt_bytes // _BYTES_PER_TOKEN)
        return asked + self.max_output_tokens, self.price.usd(asked, self.max_output_tokens)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, within the deadline, and price the answer.

        A model that is down is asked again while retries, budget and time last.

        Raises:
            Unavailable: no answer in time, none at all, or not one in the agreed format.
            Refused: the provider will not answer this request or this key.
        """
        settings = ModelSettings(**(model_settings or {}))
        if self.counts_tokens:
            settings["max_tokens"] = self.max_output_tokens
            settings["timeout"] = self.seconds
            settings["max_retries"] = 0  # the libraries' own know no budget and no journal
        try:
            async with asyncio.timeout(self.seconds):
                response = await self._answered(messages, settings, model_request_parameters)
        except TimeoutError:
            raise Down.of(self.model_name, f"did not answer within {self.seconds:g} s") from None
        usage = response.usage
        usage.cost = self.price.usd(usage.input_tokens, usage.output_tokens)
        return response

    async def _answered(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        self._budget.requested()
        ends = asyncio.get_running_loop().time() + self.seconds
        for attempt in itertools.count(1):
            try:
                return await self.wrapped.request(messages, settings, parameters)
            except AgentRunError as error:
                # Not `from error`: a traceback would print the provider's body.
                fault = in_our_words(error, self.model_name)
            except FallbackExceptionGroup as group:
                raise group.exceptions[-1] from None
            wait = self._wait(fault, attempt)
            if wait is None or asyncio.get_running_loop().time() + wait >= ends:
                raise fault
            self._on_retry(self.model_name, fault.message)
            await asyncio.sleep(wait)
        raise AssertionError("never reached")

    def _wait(self, fault: DryadError, attempt: int) -> float | None:
        """Return how long to wait before asking again; None: do not."""
        if not isinstance(fault, Down) or fault.again_in is None or attempt > self._retries:
            return None
        if not self._budget.take():
            return None
        chance = random.random()  # noqa: S311 - spreads retries, hides nothing
        return pause(attempt, chance, asked_for=fault.again_in)


def in_our_words(error: AgentRunError, model: str) -> DryadError:
    """Say what went wrong with a model, without what the provider said."""
    status = f" (HTTP {error.status_code})" if isinstance(error, ModelHTTPError) else ""
    if isinstance(error, ModelAuthenticationError):
        return Refused(
            f"the provider of model {model} does not accept the key{status}",
            "Correct the provider's key; `dryad config check` shows which one is in force.",
        )
    if isinstance(error, ModelQuotaExceededError):
        return Refused(f"the account at the provider of model {model} is exhausted{status}")
    if _heals(error):
        again_in = retry_after(error.headers) if isinstance(error, ModelHTTPError) else 0.0
        what = f"is not available{status or ': ' + _what(error)}"
        return Down.of(model, what, again_in=again_in)
    if isinstance(error, ModelHTTPError | ModelRequestRejectedError):
        return Refused(f"the provider of model {model} refused the request{status}")
    return Unavailable(f"model {model} gave no usable answer: {_what(error)}")


def _heals(error: AgentRunError) -> bool:
    if isinstance(error, ModelHTTPError):
        return error.status_code == 429 or error.status_code >= 500
    return isinstance(error, ModelConnectionError)


def _what(error: AgentRunError) -> str:
    """The library's own sentence, without a body."""
    return error.message.split(", body:")[0].split("body:")[0][:200]
