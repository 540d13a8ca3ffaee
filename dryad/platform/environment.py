"""What the processes of an installation find in their environment.

Secrets travel here and never in arguments, which every user of the machine can read. What the
person at the terminal has set for another installation or another Prefect does not get through.
"""

import os
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dryad.foundation.environment import runbook_name
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings

Environment = dict[str, str]
NOBODY = Path(__file__).with_name("nobody.pem")
"""A certificate that is no authority, long expired, its key thrown away: it vouches for nothing."""


def inherited() -> Environment:
    """Return this process's environment without any setting of DRYAD or Prefect."""
    older = {runbook_name(field) for field in Settings.model_fields}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in older and not name.startswith(("DRYAD_", "PREFECT_"))
    }


MODEL_KEYS = frozenset({"openai_api_key", "anthropic_api_key"})
"""What only processes that carry runs are told."""


def exported(settings: Settings, *, without: Collection[str] = ()) -> Environment:
    """Return the variables from which `load` reads exactly these settings.

    A `.env` that was found where `dryad up` was called is not found where its processes work.

    Args:
        settings: What `dryad up` was given.
        without: Fields that are kept from the process.
    """
    always = {"home", "logs", "secrets_dir", "audit_anchor"}
    return {
        f"DRYAD_{field.upper()}": _text(value)
        for field, known in Settings.model_fields.items()
        if (value := getattr(settings, field)) is not None
        and field not in without
        and (field in always or value != known.default)
    }


def prefect_client(settings: Settings, secrets: Secrets) -> Environment:
    """Return what points a program at this installation's Prefect server, and lets it in."""
    return {
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": settings.prefect_url,
        "PREFECT_API_AUTH_STRING": secrets.prefect_auth,
        # Without this, a program that cannot reach the server starts one of its own.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "DO_NOT_TRACK": "1",
    }


def prefect_worker(settings: Settings, secrets: Secrets) -> Environment:
    """Return what a worker needs: to be let in, and how often to ask for work."""
    poll = settings.worker_poll.total_seconds()
    return (
        prefect_client(settings, secrets)
        | frugal(settings.prefect_url)
        | {"PREFECT_WORKER_QUERY_SECONDS": f"{poll:g}"}
    )


def frugal(prefect_url: str) -> Environment:
    """Return what spares every run much of its CPU.

    Prefect reads every authority of the world for each client a run opens, 13 ms of CPU each, also
    where no TLS is spoken; and it colours lines that go to a file.
    """
    lean = {"PREFECT_LOGGING_COLORS": "false"}
    if prefect_url.startswith("http://"):
        lean["PREFECT_API_SSL_CERT_FILE"] = str(NOBODY)
    return lean


def prefect_server(settings: Settings, secrets: Secrets) -> Environment:
    """Return what makes the server this installation's own, closed to everybody else.

    Prefect lets any page of any origin call its API unless told otherwise, so only the server's
    own UI may, and only with the password.
    """
    return prefect_client(settings, secrets) | {
        "PREFECT_SERVER_API_AUTH_STRING": secrets.prefect_auth,
        "PREFECT_SERVER_ENCRYPTION_KEY": secrets.prefect_encryption_key,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(_own_origins(settings)),
        **_prefect_database(settings),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Daily: the logs and artifacts of runs that `prune-history` deleted.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def _own_origins(settings: Settings) -> list[str]:
    hosts = {"127.0.0.1", "localhost", settings.host} - {"0.0.0.0", "::", ""}  # noqa: S104 - removed
    return sorted(f"http://{host}:{settings.prefect_port}" for host in hosts)


def _prefect_database(settings: Settings) -> Environment:
    url = settings.prefect_database
    return {} if url is None else {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}


def _text(value: Any) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case timedelta():
            return f"{value.total_seconds():.6f}s"
        case frozenset():
            return ",".join(sorted(map(str, value)))  # pyright: ignore[reportUnknownArgumentType]
        case tuple():
            return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return str(value)


def joined(*parts: Mapping[str, str]) -> Environment:
    """Return one environment; later parts win."""
    return {name: value for part in parts for name, value in part.items()}
