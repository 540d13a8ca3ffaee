"""JSON Schema, checked without ever fetching anything."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator
from jsonschema import exceptions as jsonschema_errors
from referencing import Registry

from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import InvalidRequest


def checked_schema(schema: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """Return `schema` when it is a JSON Schema (2020-12) that refers only to itself.

    Raises:
        InvalidRequest: it is no schema, or refers to another document.
    """
    plain = as_json(schema, what=what)
    if foreign := sorted(ref for ref in _references(plain) if not ref.startswith("#")):
        raise InvalidRequest(f"{what} refers to another document: {foreign[0][:200]!r}")
    try:
        Draft202012Validator.check_schema(plain)
    except jsonschema_errors.SchemaError as error:
        raise InvalidRequest(f"{what} is not a JSON Schema: {error.message[:300]}") from error
    return plain


def violation(schema: Mapping[str, Any], value: Any) -> str:
    """Return why `value` does not satisfy a checked `schema`: one sentence, '' when it does."""
    errors = _validator(canonical_json(schema)).iter_errors(value)
    worst: jsonschema_errors.ValidationError | None = cast("Any", jsonschema_errors).best_match(
        errors
    )
    if worst is None:
        return ""
    place = "/".join(str(part) for part in worst.absolute_path)
    return f"{place}: {worst.message[:300]}" if place else worst.message[:300]


def as_json(value: Any, *, what: str) -> Any:
    """Return `value` as plain JSON data: what is stored, compared and sent is exactly this.

    Raises:
        InvalidRequest: it holds something JSON or UTF-8 cannot say.
    """
    try:
        return orjson.loads(canonical_json(value))
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{what} is not plain JSON: {error}") from error


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    registry = cast("Any", Registry)()  # an empty one, so that no reference is ever fetched
    return Draft202012Validator(orjson.loads(schema), registry=registry)


def _references(node: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(node, Mapping):
        for key, value in cast("Mapping[str, Any]", node).items():
            if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                found.add(value)
            else:
                found |= _references(value)
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        for value in cast("Sequence[Any]", node):
            found |= _references(value)
    return found
