"""Which ports belong to the installation itself: nothing an agent asks for reaches those."""

from urllib.parse import urlsplit

from dryad.foundation.settings import Settings

_USUAL = (5432, 6379, 8001)
"""PostgreSQL, Redis and Chroma, where their addresses name no port."""


def own_ports(settings: Settings) -> frozenset[int]:
    """Return the ports of the installation's own servers."""
    secrets = (settings.database_url, settings.redis_url)
    addresses = [secret.get_secret_value() for secret in secrets if secret is not None]
    addresses += [settings.prefect_url, settings.dryad_url, settings.chroma]
    named = {urlsplit(address).port for address in addresses if "://" in address}
    usual = {settings.api_port, settings.prefect_port, *_USUAL}
    return frozenset(usual | {port for port in named if port is not None})
