"""The command line's way to the API: one call, one result or one error with its next step."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from dryad.foundation import environment as reader
from dryad.foundation import errors
from dryad.foundation.errors import DryadError, Unavailable
from dryad.foundation.secrets import Secrets
from dryad.foundation.settings import Settings


class Api:
    """A client of the DRYAD API that knows where it is and which key to show."""

    def __init__(self, url: str, key: str, tenant: str = "") -> None:
        self._url = url
        self._tenant = tenant
        self._http = httpx.Client(
            base_url=f"{url}/",
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(60, connect=5),
            trust_env=False,
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return what is at `path`; a query that is None or '' is left out."""
        return self._call("GET", path, query)

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return the items of a page at `path`."""
        return self.get(path, **query)["items"]

    def post(self, path: str, body: object = None, **query: Any) -> Any:
        """Send `body` to `path`."""
        return self._call("POST", path, query, body)

    def put(self, path: str, body: object, **query: Any) -> Any:
        """Put `body` at `path`."""
        return self._call("PUT", path, query, body)

    def patch(self, path: str, body: object, **query: Any) -> Any:
        """Change what is at `path`."""
        return self._call("PATCH", path, query, body)

    def delete(self, path: str, **query: Any) -> None:
        """Remove what is at `path`."""
        self._call("DELETE", path, query)

    def lines(self, path: str, *, last_id: str = "", **query: Any) -> Generator[str]:
        """Yield the lines of a stream as they come, from after the event `last_id` on."""
        asked = self._query(query)
        since = {"Last-Event-ID": last_id} if last_id else {}
        with (
            self._errors(),
            self._http.stream("GET", path, params=asked, headers=since, timeout=None) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise translated(answer)
            yield from answer.iter_lines()

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def _call(self, method: str, path: str, query: Mapping[str, Any], body: object = None) -> Any:
        with self._errors():
            answer = self._http.request(method, path, params=self._query(query), json=body)
        if answer.is_error:
            raise translated(answer)
        return answer.json() if answer.content else None

    def _query(self, query: Mapping[str, Any]) -> dict[str, Any]:
        asked = {"tenant": self._tenant, **query}
        return {name: value for name, value in asked.items() if value not in (None, "", [])}

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unavailable(
                f"the DRYAD API at {self._url} does not answer",
                "Start it with `dryad up`; `dryad status` shows what runs.",
            ) from error


@contextmanager
def api(tenant: str = "") -> Generator[Api]:
    """Open a client with the operator's key of this home, or DRYAD_API_KEY."""
    settings, _ = reader.load()
    client = Api(settings.dryad_url, _key(settings), tenant)
    try:
        yield client
    finally:
        client.close()


def translated(answer: httpx.Response) -> DryadError:
    """Turn a problem document into the error it was made from."""
    try:
        problem = answer.json()
        kind = _BY_CODE[problem["code"]]
        return kind(problem["detail"], problem["next_step"])
    except (ValueError, KeyError, TypeError):
        return Unavailable(
            f"the DRYAD API answered {answer.status_code} with something that is not its own",
            "Check DRYAD_API_URL: something else may listen there.",
        )


def _key(settings: Settings) -> str:
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    try:
        return Secrets.read(settings.secrets_path).operator_key
    except errors.NotFound as error:
        raise errors.NotFound(
            f"there is no installation at {settings.home}",
            "Start one with `dryad up`, or set DRYAD_API_URL and DRYAD_API_KEY.",
        ) from error


def _kinds(kind: type[DryadError]) -> Generator[type[DryadError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


_BY_CODE = {kind.code: kind for kind in _kinds(DryadError)}


def read_argument(text: str) -> str:
    """Return `text`, or what comes in on stdin when it is `-`."""
    return sys.stdin.read() if text == "-" else text
