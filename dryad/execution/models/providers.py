"""Which model an agent thinks with: chosen by settings, in an explicit order, never silently."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from dryad.execution.models.prices import FREE, UNPRICED, PerToken, Price, listed, stated
from dryad.execution.models.retries import RetryBudget
from dryad.foundation.errors import InvalidRequest, Refused

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from dryad.execution.agents import AgentSpec
    from dryad.execution.models.language import Language

Provider = Literal["offline", "ollama", "openai", "anthropic"]

OFFLINE = "no language model is configured: the offline provider answered"
"""What every result of the offline provider is labelled with."""

FELL_BACK = "the language model was not available: the offline provider answered"
"""The label when the offline provider stood in for another."""

USUAL: Mapping[str, str] = {
    "ollama": "llama3.2",
    "openai": "gpt-5-mini",
    "anthropic": "claude-sonnet-5",
}
"""The model of a provider when none is named."""

_OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class ModelChoice:
    """How this installation reaches models. Keys come as values and never show in a `repr`."""

    provider: Provider = "offline"
    fallbacks: Sequence[Provider] = ()
    """Asked in this order when the one before is down, too slow or busy; each is logged."""
    model: str | None = None
    timeout: timedelta = timedelta(seconds=120)
    price: str | None = None
    """Of the installation's own model, where nobody published one."""
    prices: Mapping[str, PerToken] = field(default_factory=dict[str, PerToken])
    """What the operator says a model costs; see `read_prices`."""
    retries: int = 2
    """How often a provider that is down is asked again before the next one is."""
    openai_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)
    other_keys: Callable[[str], str | None] = field(default=lambda _provider: None, repr=False)
    """Asked for a provider's key that is not given here."""
    anthropic_base_url: str | None = None
    ollama_base_url: str = "http://127.0.0.1:11434"


class Models:
    """Makes the model of an agent; provider libraries are imported when first needed."""

    def __init__(
        self,
        choice: ModelChoice,
        *,
        on_fallback: Callable[[str, str], None] = lambda _model, _reason: None,
        on_retry: Callable[[str, str], None] = lambda _model, _reason: None,
        allowed: Callable[[str], Collection[str] | None] = lambda _tenant: None,
    ) -> None:
        self._choice = choice
        self._allowed = allowed
        self._on_fallback = on_fallback
        self._on_retry = on_retry
        self._budget = RetryBudget()

    @property
    def degraded(self) -> str:
        """Why answers are less than a language model's, or ''."""
        return OFFLINE if self._choice.provider == "offline" else ""

    def model_for(self, tenant: str, agent: "AgentSpec | None" = None) -> "Language":
        """Return the model `agent` thinks with: its own, else the installation's.

        Providers that the tenant's policy does not name are passed over, but for the one an agent
        names itself: that is refused.

        Raises:
            Refused: the model's price is unknown, its key is missing, or the policy allows none.
            InvalidRequest: the agent names a provider there is not.
        """
        own: Mapping[str, str] = agent.model if agent is not None else {}
        order, fit = self._order(own), self._fit(tenant, own)
        if not fit or ("provider" in own and own["provider"] not in fit):
            raise Refused(
                f"the policy of {tenant} does not let text go to {order[0]}",
                "`dryad policies set providers=…` names the providers it may go to.",
            )
        named = own.get("model") or (self._choice.model if "provider" not in own else None)
        chain = [
            self._language(provider, named if provider == order[0] else None) for provider in fit
        ]
        return chain[0] if len(chain) == 1 else self._in_order(chain)

    def listeners(self, tenant: str, agents: Iterable["AgentSpec"]) -> frozenset[str]:
        """Return the providers that what one of `agents` reads may get to, but the offline one.

        What one agent reads becomes findings for the next, a plan, a note that anybody finds: so
        those of all agents count, and the installation's own.
        """
        owns: list[Mapping[str, str]] = [{}, *(agent.model for agent in agents)]
        heard = {provider for own in owns for provider in self._fit(tenant, own)}
        return frozenset(heard - {"offline"})

    def _order(self, own: Mapping[str, str]) -> list[str]:
        """Return the providers to be asked, one after the other."""
        return list(
            dict.fromkeys([own.get("provider") or self._choice.provider, *self._choice.fallbacks])
        )

    def _fit(self, tenant: str, own: Mapping[str, str]) -> list[str]:
        """Return those of them that the tenant's policy allows."""
        allowed = self._allowed(tenant)
        return [
            name for name in self._order(own) if allowed is None or name in {"offline", *allowed}
        ]

    def _in_order(self, chain: "Sequence[Language]") -> "Language":
        from pydantic_ai.models.fallback import FallbackModel  # noqa: PLC0415 - a second of CPU

        from dryad.execution.models.language import Down, Language  # noqa: PLC0415 - the same

        def falls_back(error: Exception) -> bool:
            if isinstance(error, Down):
                self._on_fallback(error.model, str(error))
            return isinstance(error, Down)

        return Language(
            FallbackModel(chain[0], *chain[1:], fallback_on=falls_back),
            price=_Dearest([language.price for language in chain]),
            seconds=sum(language.seconds for language in chain) + 1,
            degraded=chain[0].degraded,
        )

    def _language(self, provider: str, model: str | None) -> "Language":
        from dryad.execution.models.language import Language  # noqa: PLC0415 - a second of CPU

        name = model or USUAL.get(provider, "offline")
        makers: Mapping[str, Callable[[str], Model]] = {
            "offline": lambda _name: _offline(),
            "ollama": self._ollama,
            "openai": self._openai,
            "anthropic": self._anthropic,
        }
        if provider not in makers:
            raise InvalidRequest(f"there is no model provider {provider[:40]!r}")
        return Language(
            makers[provider](name),
            price=self._price(provider, name),
            seconds=self._choice.timeout.total_seconds(),
            degraded=OFFLINE if provider == "offline" else "",
            retries=self._choice.retries,
            budget=self._budget,
            on_retry=self._on_retry,
        )

    def _price(self, provider: str, model: str) -> PerToken:
        """Return the operator's price, else a published one, else the settings', else refuse."""
        for name in (f"{provider}/{model}", f"{provider}/*"):
            if name in self._choice.prices:
                return self._choice.prices[name]
        mine = self._choice.model or USUAL.get(self._choice.provider, "")
        own = provider == self._choice.provider and model == mine
        given = stated(self._choice.price) if own and self._choice.price is not None else None
        if provider in {"offline", "ollama"}:
            return given or FREE  # one's own machine
        base = self._choice.openai_base_url or _OPENAI
        if provider == "openai" and base.rstrip("/") != _OPENAI:
            if given is None:
                raise Refused(f"the price of model {model[:80]!r} at {base} is unknown", UNPRICED)
            return given
        try:
            return listed(provider, model)
        except Refused:
            if given is None:
                raise
            return given

    def _ollama(self, model: str) -> "Model":
        base = self._choice.ollama_base_url.rstrip("/")
        return self._compatible("ollama", model, base if base.endswith("/v1") else f"{base}/v1")

    def _openai(self, model: str) -> "Model":
        base = self._choice.openai_base_url or _OPENAI
        key = self._choice.openai_api_key or self._choice.other_keys("openai")
        if base == _OPENAI and not key:
            raise Refused(
                "OpenAI needs a key",
                "Set OPENAI_API_KEY, or fill in the block `dryad-openai-key/dryad`.",
            )
        return self._compatible("openai", model, base, key)

    def _compatible(self, name: str, model: str, base: str, key: str | None = None) -> "Model":
        from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - two seconds of CPU
        from pydantic_ai.providers.openai_compatible import (  # noqa: PLC0415 - the same
            OpenAICompatibleProvider,
        )

        provider = OpenAICompatibleProvider(name, base_url=base, api_key=key)
        # What another program's environment says must not be sent to this server.
        provider.client.organization = provider.client.project = None
        return OpenAIChatModel(model, provider=provider)

    def _anthropic(self, model: str) -> "Model":
        key = self._choice.anthropic_api_key or self._choice.other_keys("anthropic")
        if not key:
            raise Refused(
                "Anthropic needs a key",
                "Set ANTHROPIC_API_KEY, or fill in the block `dryad-anthropic-key/dryad`.",
            )
        from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415 - three seconds
        from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: PLC0415 - the same

        base = self._choice.anthropic_base_url or "https://api.anthropic.com"
        provider = AnthropicProvider(api_key=key, base_url=base)
        return AnthropicModel(model, provider=provider)


@dataclass(frozen=True)
class _Dearest:
    """The highest of several prices: which provider will answer is not known before."""

    prices: Sequence[Price]

    def usd(self, input_tokens: int, output_tokens: int) -> Any:
        return max(price.usd(input_tokens, output_tokens) for price in self.prices)


def _offline() -> "Model":
    from dryad.execution.models.offline import OfflineModel  # noqa: PLC0415 - a second of CPU

    return OfflineModel()
