"""Requests outside go where somebody allowed them to go, and end."""

import socket
import threading
import time
from typing import Any

import pytest

from dryad.execution.outside import NotSent, Outside, Reach, Reply
from dryad.foundation.errors import DryadError, InvalidRequest, Refused, Unavailable
from tests.servers import free_port
from tests.web import accept, never_ending, reply, serve

HERE = ("127.0.0.1", "localhost")


def host(url: str) -> str:
    return url.removeprefix("http://")


async def get(
    url: str, *, private: Any = None, outside: Outside | None = None, **more: Any
) -> Reply:
    reach = Reach(private=(host(url).split("/")[0],) if private is None else private, **more)
    return await (outside or Outside()).ask(reach, "GET", url)


async def test_an_allowed_host_is_asked_by_its_name():
    with serve(accept()) as server:
        port = server.url.rpartition(":")[2]
        found = await get(f"http://localhost:{port}/a?b=c", private=(f"localhost:{port}",))
    assert (found.status, found.content, found.kind) == (200, b"{}", "application/json")
    (received,) = server.received
    assert (received.method, received.path) == ("GET", "/a?b=c")
    assert received.headers["Host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://other.example.org/", "not among the hosts"),
        ("http://localhost:9/", "not among the hosts"),  # its usual port is allowed, not this one
        ("http://localhost/", "private address"),
        ("http://[::ffff:127.0.0.1]/", "private address"),
        ("http://[::ffff:10.0.0.1]/", "private address"),
        ("http://[64:ff9b::a00:1]/", "private address"),
        ("http://[2002:a00:1::]/", "private address"),
        ("http://0.0.0.0/", "private address"),
        ("http://169.254.169.254/latest/meta-data", "private address"),
        ("http://[fd00::1]/", "private address"),
        ("http://224.0.0.1/", "private address"),
    ],
)
async def test_no_address_of_a_private_network_is_reached_unless_it_is_listed(url: str, says: str):
    named = (
        "localhost", "0.0.0.0", "169.254.169.254", "224.0.0.1", "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[::ffff:a00:1]", "[64:ff9b::a00:1]",
        "[2002:a00:1::]", "[fd00::1]",
    )  # fmt: skip
    with pytest.raises(Refused, match=says):
        await Outside().ask(Reach(hosts=named), "GET", url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://localhost/x", "localhost", "http://", "//localhost/x",
        "http://user:word@localhost/", "",
    ],
)  # fmt: skip
async def test_what_is_no_web_address_is_invalid(url: str):
    with pytest.raises(InvalidRequest):
        await Outside().ask(Reach(private=HERE), "GET", url)


async def test_the_installations_own_ports_are_never_reached_even_when_listed():
    with serve(accept()) as server:
        port = int(server.url.rpartition(":")[2])
        outside = Outside(own_ports={port})
        names = ["127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0"]
        for name in names:
            with pytest.raises(Refused, match="belongs to the installation"):
                await get(f"http://{name}:{port}/", outside=outside)
        await get(server.url, outside=Outside(own_ports={port + 1}))
    assert len(server.received) == 1


async def test_a_redirect_is_followed_only_to_an_allowed_host_and_without_the_headers():
    with serve(accept()) as allowed, serve(accept()) as forbidden:
        places = {"/ok": allowed.url, "/no": forbidden.url, "/file": "file:///etc/passwd"}

        def redirect(handler: Any, received: Any, _number: int) -> None:
            reply(handler, 302, b"", Location=places.get(received.path, "/round"))

        with serve(redirect) as server:
            reach = Reach(private=(host(server.url), host(allowed.url)))
            secret = {"Authorization": "Bearer planted"}
            found = await Outside().ask(reach, "GET", f"{server.url}/ok", headers=secret)
            assert found.url.rstrip("/") == allowed.url
            for path, error in (("/no", Refused), ("/file", InvalidRequest), ("/round", Refused)):
                with pytest.raises(error):
                    await Outside().ask(reach, "GET", f"{server.url}{path}", headers=secret)
            kept = await Outside().ask(reach, "POST", f"{server.url}/ok", content=b"{}")
    assert kept.status == 302  # what changes something is not sent twice
    assert forbidden.received == []
    assert [letter.headers["Authorization"] for letter in allowed.received] == [None]
    assert server.received[0].headers["Authorization"] == "Bearer planted"


async def test_what_is_too_long_is_cut_and_what_never_ends_is_given_up():
    def large(handler: Any, _received: Any, _number: int) -> None:
        reply(handler, 200, b"x" * 3_000_000)

    with serve(large) as server:
        found = await get(server.url, most_bytes=1_000)
    assert (len(found.content), found.cut) == (1_000, True)
    with serve(never_ending) as server:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within"):
            await get(server.url, seconds=0.3)
        assert time.monotonic() - started < 3


async def test_nobody_there_means_that_nothing_was_sent():
    with pytest.raises(NotSent, match="nothing was sent"):
        await get(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotSent):
        await get("http://[::1]:1", private=("[::1]:1",))


def hang_up(door: socket.socket) -> None:
    caller, _ = door.accept()
    caller.close()


async def test_a_connection_that_breaks_leaves_a_doubt():
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=hang_up, args=(door,), daemon=True).start()
        with pytest.raises(Unavailable) as caught:
            await get(f"http://127.0.0.1:{door.getsockname()[1]}")
    assert not isinstance(caught.value, NotSent)
    assert isinstance(caught.value, DryadError)


@pytest.mark.parametrize(
    ("entry", "reached"),
    [("localhost", False), ("localhost:{}", True), ("LOCALHOST:{}", True), ("*.host:{}", False)],
)
async def test_an_entry_names_host_and_port(entry: str, reached: bool):
    with serve(accept()) as server:
        port = server.url.rpartition(":")[2]
        url, entries = f"http://localhost:{port}/", (entry.format(port),)
        if reached:
            assert (await get(url, private=entries)).status == 200
        else:
            with pytest.raises(Refused, match="not among the hosts"):
                await get(url, private=entries)
