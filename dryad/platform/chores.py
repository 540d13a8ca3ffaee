"""What `dryad up` does in processes that end: `python -P -m dryad.platform.chores NAME`.

Apart from the supervisor, which stays small for as long as the installation runs.
"""

import sys
from collections.abc import Callable
from contextlib import closing

from dryad.adapters import choose_adapters
from dryad.bootstrap import Services
from dryad.foundation.database import migrate
from dryad.foundation.environment import load
from dryad.foundation.errors import DryadError
from dryad.foundation.provision import provision
from dryad.foundation.settings import Settings
from dryad.foundation.tenants import DEFAULT
from dryad.platform.demo import demo
from dryad.platform.progress import failure
from dryad.runs import Runs


def prepare(services: Services, _runs: Runs) -> None:
    """Bring the database to this code's schema and see that the first tenant can work."""
    revision = migrate.upgrade(services.database)
    provision(services.database, services.secrets, services.clock)
    services.installation.choose_adapters(choose_adapters(services.settings))
    services.provide_tenant(DEFAULT)
    services.tools.seal_all()
    sys.stdout.write(f"revision {revision}, epoch {services.installation.epoch()}\n")


def demonstrate(services: Services, runs: Runs) -> None:
    """Ingest the project's documentation and submit the three tasks of the demo."""
    demo(services, runs, lambda line: print(line, flush=True))  # noqa: T201 - this is its output


CHORES: dict[str, Callable[[Services, Runs], None]] = {"prepare": prepare, "demo": demonstrate}


def do(name: str, settings: Settings) -> int:
    """Do one chore; return the exit status. A failure is told as the last line."""
    try:
        with (
            closing(Runs.of(settings)) as runs,
            closing(Services(settings, answers=runs, component="up")) as services,
        ):
            CHORES[name](services, runs)
    except DryadError as error:
        sys.stdout.write(failure(error) + "\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(do(sys.argv[1], load()[0]))
