"""Every tool has an OpenAPI document, and the document says what the tool takes."""

from typing import Any

import pytest

from dryad.execution.catalogue import TOOLS
from dryad.execution.interface import interface
from dryad.execution.openapi import Wanted, read_operations
from dryad.foundation.schemas import checked_schema, violation
from dryad.foundation.tools import ToolSpec

TREE = ToolSpec(
    name="tree",
    version="1",
    description="Count the leaves.",
    tier="read",
    input_schema={
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}, "again": {"$ref": "#/properties/root"}},
        "required": ["root"],
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "additionalProperties": False,
            }
        },
    },
    output_schema={"$ref": "#/$defs/count", "$defs": {"count": {"type": "integer"}}},
    config={"code": "secret"},
    kind="script",
)


@pytest.mark.parametrize("spec", [*TOOLS, TREE], ids=lambda spec: spec.name)
def test_our_own_importer_reads_the_document_of_every_tool(spec: ToolSpec):
    found = read_operations(interface(spec), Wanted(base="https://dryad.example.org/api/v1"))
    assert not found.left_out
    (tool,) = found.tools
    assert tool.version == spec.version
    assert tool.config["path"] == f"/tools/{spec.name}/execute"
    checked_schema(tool.input_schema, what="the input schema")
    checked_schema(tool.output_schema, what="the output schema")


@pytest.mark.parametrize(
    ("root", "fits"),
    [
        ({"children": [{"children": []}]}, True),
        ({"children": [{"leaves": 1}]}, False),
        (3, False),
    ],
)
def test_references_of_a_schema_hold_in_the_document(root: Any, fits: bool):
    (tool,) = read_operations(interface(TREE), Wanted(base="https://d.example.org")).tools
    for given in ({"root": root}, {"root": {}, "again": root}):
        body = {"body": {"agent": "ada", "arguments": given}}
        assert (violation(tool.input_schema, body) == "") == fits
        assert (violation(TREE.input_schema, given) == "") == fits


def test_nothing_of_a_configuration_is_in_the_document():
    assert "secret" not in str(interface(TREE))
