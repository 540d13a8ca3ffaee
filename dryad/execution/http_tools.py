"""Carry out a call of an HTTP tool: one request, built from checked arguments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote, urlencode

import orjson

from dryad.execution.outside import NotSent, Outside, Reach, Reply, without
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import InvalidRequest, Unavailable
from dryad.foundation.tools import ToolSpec

READS = frozenset({"GET", "HEAD"})


async def call(
    outside: Outside, spec: ToolSpec, arguments: Mapping[str, Any], step: str
) -> ToolOutcome:
    """Send the request of one call; what comes back is untrusted.

    Args:
        outside: The way out.
        spec: A tool of kind `http`; see `read_operations` for its configuration.
        arguments: As its input schema wants them.
        step: Sent as `Idempotency-Key` with everything that is no reading.

    Raises:
        Refused: the address is not allowed.
        InvalidRequest: an argument cannot be part of an address.
        Unavailable: nobody knows whether it arrived.
    """
    config = spec.config
    method = str(config["method"])
    url, headers, content = _request(config, arguments)
    if method not in READS:
        headers["Idempotency-Key"] = step
    reach = reach_of(config)
    try:
        reply = await outside.ask(reach, method, url, headers=headers, content=content)
    except NotSent as reason:
        return ToolOutcome(failed=reason.message)
    except Unavailable as reason:
        if method in READS:  # reading changed nothing, so this is certain
            return ToolOutcome(failed=reason.message)
        raise
    reply = replace(reply, content=without(reply.content, config.get("headers", {})))
    if reply.status >= 500 and method not in READS:
        raise Unavailable(f"the server failed with HTTP {reply.status}")
    if not 200 <= reply.status < 300:
        said = reply.content[:500].decode("utf-8", "replace")
        return ToolOutcome(
            failed=f"the server answered HTTP {reply.status}: {said}", untrusted=True
        )
    return ToolOutcome({"status": reply.status, **_body(reply)}, untrusted=True)


def reach_of(config: Mapping[str, Any]) -> Reach:
    """Return how far a tool's requests may go, as its administrator configured it."""
    return Reach(
        hosts=tuple(config.get("hosts", ())),
        private=tuple(config.get("private_hosts", ())),
        seconds=float(config.get("seconds", 30)),
        most_bytes=int(config.get("most_bytes", 5_000_000)),
    )


def _request(
    config: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, dict[str, str], bytes]:
    path, content = str(config["path"]), b""
    query: list[tuple[str, str]] = []
    fixed = {str(name): str(value) for name, value in config.get("headers", {}).items()}
    taken = {name.lower() for name in fixed}
    headers: dict[str, str] = {}
    for name, value in arguments.items():
        place = config["places"].get(name)
        if place == "path":
            path = path.replace(f"{{{name}}}", _segment(name, value))
        elif place == "query":
            several = cast("list[Any]", value if isinstance(value, list) else [value])
            query += [(name, _text(one)) for one in several]
        elif place == "header":
            if name.lower() not in taken:  # what the administrator set stands
                headers[name] = _header(name, value)
        else:
            content = canonical_json(value)
            headers["Content-Type"] = "application/json"
    url = f"{config['base']}{path}"
    return (f"{url}?{urlencode(query)}" if query else url), headers | fixed, content


def _segment(name: str, value: Any) -> str:
    text = _text(value)
    if text in {"", ".", ".."}:
        raise InvalidRequest(f"{name} cannot be {text!r} in an address")
    return quote(text, safe="")


def _header(name: str, value: Any) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable():
        raise InvalidRequest(f"{name} cannot be sent as a header")
    return text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


def _body(reply: Reply) -> dict[str, Any]:
    """Return the body as JSON where it is JSON, else as text."""
    if not reply.content:
        return {}
    text = reply.content.decode("utf-8", "replace")
    if reply.cut:
        return {"body": f"{text}\n… cut: the answer is longer than the tool may read"}
    if reply.kind == "application/json" or reply.kind.endswith("+json"):
        try:
            return {"body": orjson.loads(reply.content)}
        except orjson.JSONDecodeError:
            return {"body": text}
    return {"body": text}
