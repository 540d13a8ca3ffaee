"""Describe a tool as an OpenAPI 3.1 document: how to call it here, and what comes back."""

from collections.abc import Mapping
from typing import Any, cast

from dryad.foundation.tools import ToolSpec

_HERE = "#/components/schemas/"


def interface(spec: ToolSpec) -> dict[str, Any]:
    """Return the document of one version; nothing of its configuration is in it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": spec.name,
            "version": spec.version,
            "description": spec.description,
            "x-tier": spec.tier,
            "x-category": spec.category,
            "x-idempotent": spec.idempotent,
        },
        "servers": [{"url": "/api/v1"}],
        "paths": {
            f"/tools/{spec.name}/execute": {
                "post": {
                    "operationId": spec.name,
                    "summary": spec.description[:120],
                    "security": [{"key": []}],
                    "requestBody": {"required": True, "content": _json(_REQUEST)},
                    "responses": {
                        "200": {"description": "What came of it", "content": _json(_ANSWER)},
                        "400": {"description": "The arguments do not fit"},
                        "403": {"description": "The call is not allowed"},
                        "404": {"description": "No such agent"},
                    },
                }
            }
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Arguments": _moved(spec.input_schema, "Arguments"),
                "Result": _moved(spec.output_schema, "Result"),
            },
        },
    }


_REQUEST: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "agent": {"type": "string"},
        "arguments": {"$ref": f"{_HERE}Arguments"},
        "key": {"type": "string"},
    },
    "required": ["agent", "arguments"],
}
_ANSWER: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "outcome": {"enum": ["done", "failed"]},
        "value": {"anyOf": [{"$ref": f"{_HERE}Result"}, {"type": "null"}]},
        "reason": {"type": "string"},
    },
    "required": ["id", "outcome", "value", "reason"],
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _moved(node: Any, place: str) -> Any:
    """Return a schema whose references to itself hold inside the document."""
    if isinstance(node, Mapping):
        moved = {key: _moved(value, place) for key, value in cast("dict[str, Any]", node).items()}
        reference = moved.get("$ref")
        if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
            moved["$ref"] = f"{_HERE}{place}{reference[1:]}"
        return moved
    if isinstance(node, list):
        return [_moved(value, place) for value in cast("list[Any]", node)]
    return node
