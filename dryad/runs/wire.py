"""Requests to the Prefect server: what may heal is tried again, what may not is explained."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx

from dryad.foundation.errors import InvalidRequest, NotFound, Unavailable

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 3.0


class _MayHeal(Unavailable):
    """One attempt failed in a way that another may not."""


class Wire:
    """One pool of connections to one server; threads may share it, forks may not.

    SQLite answers 503 ("database is locked") in bursts of up to a minute under load, so 5xx and
    broken connections are repeated with growing pauses until `patience` is over.
    """

    def __init__(
        self, url: str, auth: str | None, *, patience: timedelta, timeout: timedelta
    ) -> None:
        user, _, password = (auth or "").partition(":")
        self._url = url.rstrip("/")
        self._patience = patience.total_seconds()
        self._client = httpx.Client(
            base_url=self._url + "/",
            auth=httpx.BasicAuth(user, password) if auth else None,
            timeout=httpx.Timeout(timeout.total_seconds(), connect=5),
            trust_env=False,
            # Reading the authorities of the world costs 13 ms, also where no TLS is spoken.
            verify=not self._url.startswith("http://"),
        )

    def get(self, path: str) -> Any:
        """Return the JSON at `path`."""
        return self.send("GET", path).json()

    def post(self, path: str, body: object) -> Any:
        """Post `body` as JSON, as often as needed: only for what may safely arrive twice.

        Raises:
            Unavailable: the server is down, too slow, or refuses our password.
            NotFound: it does not know what `path` names.
            InvalidRequest: it refuses the body.
        """
        answer = self.send("POST", path, body)
        return answer.json() if answer.content else None

    def post_once(self, path: str, body: object) -> Any:
        """Post `body`; an answer that got lost is not asked for again. Raises as `post` does."""
        return self._attempt("POST", path, body).json()

    def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send until answered; see `post`."""
        failure = Unavailable("the Prefect server was not asked")
        for _ in self.tries():
            try:
                return self._attempt(method, path, body)
            except _MayHeal as error:
                failure = error
        raise Unavailable(*failure.args) from failure

    def _attempt(self, method: str, path: str, body: object) -> httpx.Response:
        try:
            answer = self._client.request(method, path.lstrip("/"), json=body)
        except httpx.TransportError as error:
            raise self._may_heal(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise self._may_heal(f"HTTP {answer.status_code}")
        return self._checked(answer)

    def _may_heal(self, reason: str) -> "_MayHeal":
        return _MayHeal(
            f"the Prefect server at {self._url} did not answer: {reason}",
            "Run `dryad status`; start it with `dryad up`.",
        )

    def tries(self) -> Iterator[int]:
        """Yield 0, 1, 2, … with growing pauses between, at least once, until patience is over."""
        deadline, delay, attempt = time.monotonic() + self._patience, _FIRST_DELAY, 0
        while True:
            yield attempt
            attempt += 1
            if time.monotonic() + delay > deadline:
                return
            time.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        detail = _detail(answer)
        if answer.status_code in {401, 403}:
            raise Unavailable(
                f"the Prefect server at {self._url} refuses this installation's password",
                "Is it the server of another installation? `dryad env` prints what is used here.",
            )
        if answer.status_code == 404:
            raise NotFound(f"the Prefect server does not know {answer.url.path}: {detail}")
        raise InvalidRequest(f"the Prefect server refused the request: {detail}")


def _detail(answer: httpx.Response) -> str:
    try:
        found = answer.json()
    except ValueError:
        return answer.text[:500]
    return str(found.get("detail") or found.get("exception_message") or found)[:500]
