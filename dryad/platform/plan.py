"""Which processes an installation has, and the order in which they stop."""

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from dryad.foundation.errors import DryadError
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings
from dryad.platform import environment
from dryad.platform.supervisor import Command
from dryad.runs import Runs

SERVER, API, KEEPER, WORKER = "Prefect server", "API", "keeper", "worker"
CHROMA = "Chroma"
STOP_ORDER = (WORKER, API, KEEPER, CHROMA, SERVER)
"""The worker first, while what its runs report to is still there."""


class Plan:
    """The commands of one installation."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
        self._runs = Runs(
            settings.prefect_url,
            secrets.prefect_auth,
            patience=timedelta(0),
            timeout=timedelta(seconds=5),
        )

    @property
    def own_server(self) -> bool:
        """Whether the installation has a Prefect server of its own."""
        return self._settings.prefect_api_url is None

    def server(self) -> Command:
        """The Prefect server, for nobody but this installation."""
        host, port = self._settings.host, self._settings.prefect_port
        return self._command(
            SERVER,
            ["deployments.server", "--host", host, "--port", str(port)],
            environment.prefect_server(self._settings, self._secrets),
            port=port,
            ready=lambda: answers(f"{self._settings.prefect_url}/ready"),
            stop_seconds=15,
        )

    def api(self) -> Command:
        """DRYAD's HTTP API."""
        return self._command(
            API,
            ["dryad.api"],
            environment.prefect_client(self._settings, self._secrets),
            port=self._settings.api_port,
            ready=lambda: answers(f"{self._settings.dryad_url}/health/live"),
        )

    def keeper(self) -> Command:
        """The process that does the installation's rounds."""
        return self._command(
            KEEPER,
            ["dryad.platform.keeper"],
            environment.prefect_client(self._settings, self._secrets),
            settle_seconds=3,
        )

    def worker(self) -> Command:
        """The worker; asked to stop, it lets its runs finish for `stop_grace`."""
        name = f"{socket.gethostname()}-{self._settings.prefect_port}"
        limit = str(self._settings.worker_limit)
        return self._command(
            WORKER,
            ["prefect", "worker", "start", "--pool", "dryad", "--type", "dryad",
             "--name", name, "--limit", limit, "--install-policy", "never"],
            environment.prefect_worker(self._settings, self._secrets),
            ready=self._is_online(name),
            stop_seconds=self._settings.stop_grace.total_seconds(),
        )  # fmt: skip

    def chroma(self) -> Command | None:
        """A Chroma server of this installation's own, when the settings ask for one.

        It asks nobody for a password: it listens on the loopback, whatever `DRYAD_HOST` says.
        """
        if self._settings.chroma != "managed":
            return None
        port = self._settings.chroma_port
        run = "import sys; from chromadb_rust_bindings import cli; cli(['chroma', *sys.argv[1:]])"
        return Command(
            name=CHROMA,
            arguments=[
                *(sys.executable, "-P", "-c", run, "run", "--host", "127.0.0.1"),
                *("--port", str(port), "--path", str(self._settings.home / "chroma")),
            ],
            environment=environment.inherited() | {"ANONYMIZED_TELEMETRY": "false"},
            port=port,
            ready=lambda: answers(f"http://127.0.0.1:{port}/api/v2/heartbeat"),
        )

    def registration(self, *, reset_schedules: bool) -> Command:
        """What registers the deployments of `prefect.yaml`, and ends."""
        return self._command(
            "registration",
            ["deployments.apply", *(["--reset-schedules"] if reset_schedules else [])],
            environment.prefect_client(self._settings, self._secrets),
        )

    def chore(self, name: str) -> Command:
        """One of `chores.py`, which ends by itself."""
        return self._command(
            name,
            ["dryad.platform.chores", name],
            environment.prefect_client(self._settings, self._secrets),
        )

    def restoring(self, name: str) -> Command:
        """One of `restore_chores.py`, which ends by itself."""
        return self._command(
            f"restore {name}",
            ["dryad.platform.restore_chores", name],
            environment.prefect_client(self._settings, self._secrets),
        )

    def server_answers(self) -> bool:
        """Whether the Prefect server, own or not, takes our password and reaches its database."""
        try:
            self._runs.ping()
        except DryadError:
            return False
        return True

    def close(self) -> None:
        """Give the connections back."""
        self._runs.close()

    def _is_online(self, name: str) -> Callable[[], bool]:
        began = datetime.now(UTC)

        def online() -> bool:
            try:
                workers = self._runs.workers()
            except DryadError:
                return False
            return any(
                worker.name == name and worker.last_seen is not None and worker.last_seen >= began
                for worker in workers
            )

        return online

    def _command(
        self,
        name: str,
        module: list[str],
        more: Mapping[str, str],
        *,
        port: int | None = None,
        ready: Callable[[], bool] = lambda: True,
        settle_seconds: float = 0,
        stop_seconds: float = 10,
    ) -> Command:
        # -P: what lies in the working directory is never imported.
        return Command(
            name=name,
            arguments=[sys.executable, "-P", "-m", *module],
            environment=environment.joined(
                environment.inherited(),
                environment.exported(
                    self._settings,
                    without=() if name == WORKER else environment.MODEL_KEYS,
                ),
                more,
            ),
            port=port,
            ready=ready,
            settle_seconds=settle_seconds,
            stop_seconds=stop_seconds,
        )


def answers(url: str) -> bool:
    """Whether a GET of `url` on this machine succeeds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
