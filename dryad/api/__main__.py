"""Serve the API: `python -P -m dryad.api`, as `dryad up` does."""

from contextlib import closing
from datetime import timedelta

import uvicorn

from dryad.api.app import create_app
from dryad.bootstrap import Services
from dryad.foundation import environment as reader
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.runs import Runs


def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    runs = Runs(
        settings.prefect_url,
        Secrets.create_or_read(settings.secrets_path).prefect_auth,
        patience=timedelta(0),
        timeout=timedelta(seconds=10),
    )
    with closing(runs), closing(Services(settings, answers=runs, component="api")) as services:
        uvicorn.run(
            create_app(services, runs),
            host=settings.host,
            port=settings.api_port,
            access_log=False,  # our own is written by `Traffic`
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=5,
        )


if __name__ == "__main__":
    serve(reader.load()[0])
