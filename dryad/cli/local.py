"""What commands use that work without a running API: the library itself, opened here."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta

from dryad.bootstrap import Services
from dryad.foundation import environment as reader
from dryad.foundation.errors import NotFound
from dryad.foundation.secrets import Secrets
from dryad.runs import Runs


@contextmanager
def services() -> Generator[Services]:
    """Open this installation.

    Raises:
        NotFound: there is none here.
    """
    settings, _ = reader.load()
    try:
        secrets = Secrets.read(settings.secrets_path)
    except NotFound as error:
        raise NotFound(
            f"there is no installation at {settings.home}", "Start one with `dryad up`."
        ) from error
    with (
        closing(Runs(settings.prefect_url, secrets.prefect_auth, patience=timedelta(0))) as runs,
        closing(Services(settings, answers=runs, component="cli")) as opened,
    ):
        yield opened
