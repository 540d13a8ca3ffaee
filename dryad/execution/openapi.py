"""Read an OpenAPI 3 document: each operation becomes a tool that an HTTP request carries out."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from dryad.foundation.errors import InvalidRequest
from dryad.foundation.ids import checked_name
from dryad.foundation.tools import Tier, ToolSpec

_METHODS = ("get", "head", "put", "post", "patch", "delete")
_IDEMPOTENT = frozenset({"get", "head", "put", "delete"})
"""By RFC 9110, section 9.2.2."""

_SCHEMAS = "#/components/schemas/"
_RESERVED = frozenset({"authorization", "cookie", "host", "content-length", "accept-encoding"})


@dataclass(frozen=True)
class Wanted:
    """What an administrator says about a document's operations.

    `base` is where its server is (default: the document's first); `only` the operations meant, by
    name (default all); `tiers` their risk where it is not the method's; `headers` are sent with
    each request; `hosts` and `private_hosts` are as in `Reach`, default the server's own host.
    """

    base: str = ""
    only: Collection[str] = ()
    tiers: Mapping[str, Tier] = field(default_factory=dict[str, Tier])
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    hosts: Collection[str] = ()
    private_hosts: Collection[str] = ()


@dataclass(frozen=True)
class Imported:
    """The tools of a document, and the operations that could not be one, with the reason."""

    tools: tuple[ToolSpec, ...]
    left_out: Mapping[str, str]


def read_operations(document: Mapping[str, Any], wanted: Wanted) -> Imported:
    """Turn the operations of a document into tools; nothing is fetched and nothing called.

    Reading (GET, HEAD) is tier `read`, everything else `external`, unless `wanted.tiers` says
    otherwise.

    Raises:
        InvalidRequest: it is no OpenAPI 3 document, names no server, or a name is wanted that it
            does not have.
    """
    _check(document)
    base = (wanted.base or _server(document)).rstrip("/")
    tools: dict[str, ToolSpec] = {}
    left_out: dict[str, str] = {}
    names: set[str] = set()
    for operation in _operations(document):
        name = operation.name
        names.add(name)
        if wanted.only and name not in wanted.only:
            continue
        if name in tools:
            raise InvalidRequest(f"two operations of the document are called {name}")
        try:
            tools[name] = _tool(document, operation, base, wanted)
        except InvalidRequest as reason:
            left_out[name] = reason.message
    if unknown := sorted({*wanted.only, *wanted.tiers} - names):
        raise InvalidRequest(f"the document has no operation {unknown[0][:80]!r}")
    return Imported(tuple(tools.values()), left_out)


def _check(document: Mapping[str, Any]) -> None:
    if missing := [name for name in ("openapi", "info", "paths") if name not in document]:
        raise InvalidRequest(f"an OpenAPI document has {missing[0]!r}; this one does not")
    if not str(document["openapi"]).startswith("3."):
        raise InvalidRequest(f"OpenAPI 3 is needed, got {str(document['openapi'])[:20]!r}")
    if not isinstance(document["paths"], Mapping) or not isinstance(document["info"], Mapping):
        raise InvalidRequest("`info` and `paths` of an OpenAPI document are objects")


def _server(document: Mapping[str, Any]) -> str:
    servers: Any = document.get("servers") or [{}]
    url = str(servers[0].get("url", ""))
    if urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidRequest(
            "the document names no server with an absolute address", "Give its base address."
        )
    return url


class _Operation(NamedTuple):
    """One operation of a document, with the parameters of its path."""

    name: str
    method: str
    path: str
    said: Mapping[str, Any]


def _operations(document: Mapping[str, Any]) -> Iterator[_Operation]:
    for path, item in cast("Mapping[str, Any]", document["paths"]).items():
        for method in _METHODS:
            if method not in item:
                continue
            own: dict[str, Any] = dict(item[method])
            own["parameters"] = [*item.get("parameters", ()), *own.get("parameters", ())]
            name = tool_name(str(own.get("operationId") or f"{method}-{path}"))
            yield _Operation(name, method, path, own)


def tool_name(text: str) -> str:
    """Return a tool's name: `listPets` and `GET /pets` become `list-pets` and `get-pets`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text)
    return re.sub(r"[^a-z0-9_]+", "-", apart.lower()).strip("-_")[:64].strip("-_")


def _tool(
    document: Mapping[str, Any], operation: _Operation, base: str, wanted: Wanted
) -> ToolSpec:
    name, method, path, said = operation
    checked_name(name, what="an operation's name")
    inputs, places = _inputs(document, said)
    server = urlsplit(base).netloc
    private = list(wanted.private_hosts)
    hosts = list(wanted.hosts) or ([] if private else [server])
    usual: Tier = "read" if method in {"get", "head"} else "external"
    purpose = said.get("summary") or said.get("description") or f"{method.upper()} {path}"
    return ToolSpec(
        name=name,
        version=str(document["info"].get("version", "1"))[:32],
        description=str(purpose)[:2_000],
        tier=wanted.tiers.get(name, usual),
        idempotent=method in _IDEMPOTENT,
        input_schema=_with_definitions(document, inputs),
        output_schema=_with_definitions(document, _output(document, said)),
        kind="http",
        config={
            "method": method.upper(),
            "base": base,
            "path": path,
            "places": places,
            "hosts": hosts,
            "private_hosts": private,
            "headers": dict(wanted.headers),
        },
    )


def _inputs(
    document: Mapping[str, Any], operation: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the schema of the arguments, and where in the request each one goes."""
    properties: dict[str, Any] = {}
    places: dict[str, str] = {}
    required: list[str] = []
    for given in operation["parameters"]:
        parameter = _resolved(document, given)
        name, place = str(parameter["name"]), str(parameter["in"])
        if place == "cookie" or (place == "header" and name.lower() in _RESERVED):
            if parameter.get("required"):
                raise InvalidRequest(f"it needs the {place} {name[:80]!r}, which no model sets")
            continue
        if places.get(name, place) != place:
            raise InvalidRequest(f"two parameters are called {name[:80]!r}")
        properties[name] = {
            **_schema(parameter.get("schema", {})),
            **({"description": parameter["description"]} if "description" in parameter else {}),
        }
        places[name] = place
        if parameter.get("required") or place == "path":
            required.append(name)
    body = _resolved(document, operation.get("requestBody", {}))
    if body:
        found = _json_content(body)
        if found is None or "body" in places:
            raise InvalidRequest("it takes a body other than JSON, or has a parameter `body`")
        properties["body"], places["body"] = _schema(found), "body"
        if body.get("required"):
            required.append("body")
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(set(required)),
        "additionalProperties": False,
    }, places


def _output(document: Mapping[str, Any], operation: Mapping[str, Any]) -> dict[str, Any]:
    responses: Mapping[str, Any] = operation.get("responses", {})
    body: dict[str, Any] = {}
    for status in sorted(map(str, responses)):
        if status.startswith("2"):
            body = _schema(_json_content(_resolved(document, responses[status])) or {})
            break
    return {
        "type": "object",
        "properties": {"status": {"type": "integer"}, "body": body},
        "required": ["status"],
    }


def _json_content(holder: Mapping[str, Any]) -> Any:
    """Return the schema of the JSON form of a body, or None when it has no such form."""
    content: Mapping[str, Any] = holder.get("content", {})
    for kind, form in content.items():
        media = kind.partition(";")[0].strip().lower()
        if media == "application/json" or media.endswith("+json"):
            return form.get("schema", {})
    return None


def _resolved(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references inside the document; what leads elsewhere is refused."""
    for _ in range(20):
        if "$ref" not in node:
            return node
        node = _pointed_at(document, str(node["$ref"]))
    raise InvalidRequest("a reference leads in a circle")


def _pointed_at(document: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Any = document
    if not reference.startswith("#/"):
        raise InvalidRequest(f"it refers to another document: {reference[:200]!r}")
    for part in reference[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
    if not found or not isinstance(found, Mapping):
        raise InvalidRequest(f"its reference {reference[:200]!r} leads nowhere")
    return cast("Mapping[str, Any]", found)


def _schema(node: Any) -> Any:
    """Return an OpenAPI schema as JSON Schema: references moved, `nullable` said anew."""
    if isinstance(node, Mapping):
        plain = {key: _schema(value) for key, value in cast("Mapping[str, Any]", node).items()}
        reference = plain.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMAS):
            plain["$ref"] = f"#/$defs/{reference.removeprefix(_SCHEMAS)}"
        if plain.pop("nullable", None) is True and isinstance(plain.get("type"), str):
            plain["type"] = [plain["type"], "null"]
        for bound, word in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            exclusive = plain.get(word)
            if isinstance(exclusive, bool):
                del plain[word]
                if exclusive and bound in plain:
                    plain[word] = plain.pop(bound)
        return plain
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return [_schema(value) for value in cast("Sequence[Any]", node)]
    return node


def _with_definitions(document: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Give a schema the definitions it refers to, and theirs."""
    known: Mapping[str, Any] = document.get("components", {}).get("schemas", {})
    definitions: dict[str, Any] = {}
    waiting = list(_definitions_in(schema))
    while waiting:
        name = waiting.pop()
        if name in definitions:
            continue
        if name not in known:
            raise InvalidRequest(f"its schema {name[:80]!r} is not in the document")
        definitions[name] = _schema(known[name])
        waiting += _definitions_in(definitions[name])
    return {**schema, "$defs": definitions} if definitions else schema


def _definitions_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in cast("Mapping[str, Any]", node).items():
            if key == "$ref" and isinstance(value, str) and value.startswith("#/$defs/"):
                yield value.removeprefix("#/$defs/").split("/")[0]
            else:
                yield from _definitions_in(value)
    elif isinstance(node, list):
        for value in cast("list[Any]", node):
            yield from _definitions_in(value)
