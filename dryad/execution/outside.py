"""Requests to servers outside: only to hosts somebody allowed, and within bounds.

A name is resolved once, every address it has is judged, and the connection goes to exactly the
address that was judged: a name that changes its mind in between leads nowhere else.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dryad.foundation.errors import InvalidRequest, Refused, Unavailable
from dryad.foundation.logs.redaction import REDACTED

if TYPE_CHECKING:
    import httpx

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TURNS = 3
"""Redirects followed, each to a host that is allowed itself."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEY = 8
"""Characters of the shortest word of a header that is taken for a key."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


class NotSent(Unavailable):
    """Nothing was sent: the server could not be reached."""


@dataclass(frozen=True)
class Reach:
    """How far requests may go.

    An entry is `host` (its usual port), `host:port`, or either with `*.` for every host below; an
    IPv6 address stands in brackets.
    `private` are hosts that may have addresses of a private network; they need not be in `hosts`.
    """

    hosts: Collection[str] = ()
    private: Collection[str] = ()
    seconds: float = 30.0
    most_bytes: int = 5_000_000


@dataclass(frozen=True)
class Reply:
    """What a server answered. `cut`: there was more than the reach allows."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes
    url: str
    cut: bool = False

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Outside:
    """The way out. `own_ports` are this installation's own, refused on every address of ours."""

    own_ports: Collection[int] = field(default=frozenset[int]())

    async def ask(
        self,
        reach: Reach,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        enough: Callable[[bytes], bool] = lambda _so_far: False,
    ) -> Reply:
        """Send one request and return what came back, whatever its status.

        Args:
            reach: Where it may go, and its bounds.
            method: In capitals. A redirect is followed only for GET and HEAD.
            url: Absolute, http or https.
            headers: Sent to this origin, and to no other a redirect names.
            content: The body.
            enough: Whether the content so far is all that is wanted of a stream.

        Raises:
            InvalidRequest: that is no address of a server.
            Refused: the host, one of its addresses, or its port is not allowed.
            NotSent: nobody could be reached.
            Unavailable: the connection was lost or the time ran out: it may have arrived.
        """
        import httpx  # noqa: PLC0415 - slow, and only those who ask outside need it

        target = _parsed(url)
        sent = dict(headers or {})
        try:
            async with (
                asyncio.timeout(reach.seconds),
                httpx.AsyncClient(timeout=reach.seconds, trust_env=False) as client,
            ):
                for _ in range(_TURNS + 1):
                    address = await self._judged(reach, target)
                    request = _built(client, method, target, address, headers=sent, content=content)
                    reply = await _sent(
                        client, request, target, most=reach.most_bytes, enough=enough
                    )
                    onward = _onward(method, target, reply)
                    if onward is None:
                        return reply
                    if _origin(onward) != _origin(target):
                        sent = {}
                    target = onward
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotSent(f"{target.host} cannot be reached; nothing was sent") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Unavailable(f"{target.host} did not answer within {reach.seconds:g} s") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{target.host} did not answer: {type(error).__name__}") from error
        raise Refused(f"{target.host} redirects more than {_TURNS} times")

    async def _judged(self, reach: Reach, url: "httpx.URL") -> _Address:
        """Return the address to connect to, when all that the name has are allowed."""
        port = _port(url)
        listed = _listed(reach.private, url)
        if not listed and not _listed(reach.hosts, url):
            raise Refused(
                f"{url.host}:{port} is not among the hosts this tool may reach",
                "An administrator adds it to `hosts` in the tool's configuration.",
            )
        addresses = await _addresses(url.host, port)
        for address in addresses:
            if port in self.own_ports and _is_ours(address):
                raise Refused(f"port {port} of this machine belongs to the installation itself")
            if not listed and not _is_public(address):
                raise Refused(
                    f"{url.host} has the private address {address}",
                    "An administrator may list it under `private_hosts` of the tool.",
                )
        return addresses[0]


async def _addresses(host: str, port: int) -> list[_Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass  # a name
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent(f"{host} has no address; nothing was sent") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def without(content: bytes, headers: Mapping[str, str]) -> bytes:
    """Return an answer without the keys that were sent with the question, should it repeat them.

    Every word of a header that is long enough counts as one.
    """
    keys = {word for value in headers.values() for word in value.split() if len(word) >= _KEY}
    for key in sorted(keys, key=len, reverse=True):
        content = content.replace(key.encode(), REDACTED.encode())
    return content


def _parsed(url: str) -> "httpx.URL":
    import httpx  # noqa: PLC0415 - as above

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InvalidRequest(f"{url[:200]!r} is no address") from error
    if parsed.scheme not in _PORTS or not parsed.host:
        raise InvalidRequest(f"{url[:200]!r} is no http address")
    if parsed.userinfo:
        raise InvalidRequest("an address holds no user or password")
    return parsed


def _built(
    client: "httpx.AsyncClient",
    method: str,
    url: "httpx.URL",
    address: _Address,
    *,
    headers: Mapping[str, str],
    content: bytes,
) -> "httpx.Request":
    """Return a request that goes to `address`, and shows and checks the name of `url`."""
    return client.build_request(
        method,
        url.copy_with(host=str(address), fragment=None),
        headers={"Accept-Encoding": "identity", **headers, "Host": url.netloc.decode()},
        content=content or None,
        extensions={"sni_hostname": url.host},
    )


async def _sent(
    client: "httpx.AsyncClient",
    request: "httpx.Request",
    url: "httpx.URL",
    *,
    most: int,
    enough: Callable[[bytes], bool],
) -> Reply:
    answer = await client.send(request, stream=True, follow_redirects=False)
    body, cut = bytearray(), False
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            cut = len(body) > most
            if cut or enough(bytes(body)):
                break
    finally:
        await answer.aclose()
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unavailable(f"{url.host} answered compressed, though it was asked not to")
    return Reply(answer.status_code, dict(answer.headers), bytes(body[:most]), str(url), cut)


def _onward(method: str, url: "httpx.URL", reply: Reply) -> "httpx.URL | None":
    """Return where a redirect leads, when it is to be followed."""
    place = reply.headers.get("location")
    if reply.status not in _REDIRECTS or place is None or method not in {"GET", "HEAD"}:
        return None
    return _parsed(str(url.join(place)))


def _listed(entries: Collection[str], url: "httpx.URL") -> bool:
    host, port = url.host.lower().rstrip("."), _port(url)
    usual = port == _PORTS[url.scheme]
    for entry in entries:
        name, separator, given = entry.lower().rpartition(":")
        if not separator or not given.isdigit():
            name, given = entry.lower(), ""
        if not (usual if not given else port == int(given)):
            continue
        name = name.strip("[]")
        if host == name or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def _port(url: "httpx.URL") -> int:
    return url.port or _PORTS[url.scheme]


def _origin(url: "httpx.URL") -> tuple[str, str, int]:
    return url.scheme, url.host, _port(url)


def _is_public(address: _Address) -> bool:
    inner = _inner(address)
    return inner.is_global and not inner.is_multicast


def _inner(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_ours(address: _Address) -> bool:
    """Whether an address belongs to this machine: only then can one listen on it."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
