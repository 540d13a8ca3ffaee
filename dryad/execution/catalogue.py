"""The tools and agents every tenant starts with."""

from collections.abc import Mapping
from typing import Any

from dryad.execution.agents import Agents, AgentSpec
from dryad.foundation.ids import TenantId
from dryad.foundation.tools import Tools, ToolSpec


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def _text(longest: int, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest, **more}


_WRITTEN = _object(
    {
        "path": {"type": "string"},
        "size_bytes": {"type": "integer"},
        "sha256": {"type": "string"},
    }
)

TOOLS: tuple[ToolSpec, ...] = (
    ToolSpec(
        name="search_memory",
        version="1",
        description="Search the documents of the tenant. Returns numbered sources: cite them as "
        "[1], [2] in the answer.",
        category="search",
        tier="read",
        idempotent=True,
        input_schema=_object(
            {"query": _text(1000, description="A few content words.")},
            limit={"type": "integer", "minimum": 1, "maximum": 20},
            category=_text(64),
        ),
        output_schema=_object({"found": {"type": "integer"}}),
    ),
    ToolSpec(
        name="store_memory",
        version="1",
        description="Keep a note among the documents of the tenant, to be found later.",
        category="research",
        tier="reversible",
        idempotent=True,
        input_schema=_object({"title": _text(200), "text": _text(100_000)}, category=_text(64)),
        output_schema=_object({"document": {"type": "string"}, "passages": {"type": "integer"}}),
    ),
    ToolSpec(
        name="remember",
        version="1",
        description="Remember a value of your own for some hours, in place of what its key had.",
        tier="reversible",
        idempotent=True,
        input_schema=_object(
            {"key": _text(200), "value": {"description": "Text, or anything JSON can say."}},
            hours={"type": "number", "exclusiveMinimum": 0, "maximum": 168},
        ),
        output_schema=_object({"key": {"type": "string"}, "expires": {"type": "string"}}),
    ),
    ToolSpec(
        name="recall",
        version="1",
        description="Recall values of your own that you remember: by a key, or by a pattern in "
        "which * stands for any characters.",
        tier="read",
        idempotent=True,
        input_schema=_object({"key": _text(200)}),
        output_schema=_object({"values": {"type": "array", "items": {"type": "object"}}}),
    ),
    ToolSpec(
        name="run_python",
        version="2",
        description="Run a Python program in a sandbox without network. Print the result. Files of "
        "the task named in `paths` lie beside it, and files it makes become files of the task.",
        category="code_execution",
        tier="read",
        idempotent=True,
        input_schema=_object(
            {"code": _text(100_000)},
            files={
                "type": "object",
                "maxProperties": 20,
                "additionalProperties": {"type": "string", "maxLength": 1_000_000},
                "description": "File name to text, put beside the program.",
            },
            paths={"type": "array", "items": _text(500), "maxItems": 20},
        ),
        output_schema=_object(
            {
                "exit_code": {"type": "integer"},
                "stdout": {"type": "string"},
                "stderr": {"type": "string"},
                "files": {"type": "array", "items": _WRITTEN},
                "violations": {"type": "array", "items": {"type": "string"}},
            }
        ),
    ),
    ToolSpec(
        name="query_table",
        version="1",
        description="Answer a question about CSV, TSV or Parquet files of the task by SQL "
        "(SQLite). `tables` gives each file a name for the query.",
        category="data_processing",
        tier="read",
        idempotent=True,
        input_schema=_object(
            {
                "sql": _text(10_000),
                "tables": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 8,
                    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"},
                    "additionalProperties": {
                        "type": "string",
                        "pattern": r"\.(csv|tsv|parquet)$",
                        "maxLength": 500,
                    },
                },
            }
        ),
        output_schema=_object(
            {
                "columns": {"type": "array", "items": {"type": "string"}},
                "rows": {"type": "array", "items": {"type": "array"}},
                "more": {"type": "boolean"},
            }
        ),
    ),
    ToolSpec(
        name="calculate",
        version="1",
        description="Calculate one arithmetic expression, such as 2 * (3 + 4).",
        tier="read",
        idempotent=True,
        input_schema=_object({"expression": _text(500)}),
        output_schema=_object({"value": {"type": ["number", "string"]}}),
    ),
    ToolSpec(
        name="clock",
        version="1",
        description="Tell the present time in UTC.",
        tier="read",
        idempotent=True,
        input_schema=_object({}),
        output_schema=_object({"utc": {"type": "string"}}),
    ),
    ToolSpec(
        name="write_file",
        version="1",
        description="Write a text file into the task's own directory.",
        category="file_system",
        tier="reversible",
        idempotent=True,
        input_schema=_object({"path": _text(500), "content": {"type": "string"}}),
        output_schema=_WRITTEN,
    ),
    ToolSpec(
        name="read_file",
        version="1",
        description="Read a text file of the task, or the part of it from character `start` on.",
        category="file_system",
        tier="read",
        idempotent=True,
        input_schema=_object(
            {"path": _text(500)},
            start={"type": "integer", "minimum": 0},
            limit={"type": "integer", "minimum": 1, "maximum": 20_000},
        ),
        output_schema=_object({"text": {"type": "string"}, "characters": {"type": "integer"}}),
    ),
    ToolSpec(
        name="list_files",
        version="1",
        description="List the files of the task.",
        category="file_system",
        tier="read",
        idempotent=True,
        input_schema=_object({}),
        output_schema=_object({"files": {"type": "array", "items": {"type": "object"}}}),
    ),
    ToolSpec(
        name="fetch",
        version="1",
        description="Read one web address as text, or save it as a file of the task. Only hosts "
        "that an administrator allowed can be reached.",
        category="web_scraping",
        tier="read",
        idempotent=True,
        input_schema=_object({"url": _text(2_000)}, save_as=_text(500)),
        output_schema=_object(
            {"url": {"type": "string"}, "kind": {"type": "string"}},
            text={"type": "string"},
            file=_WRITTEN,
        ),
    ),
    ToolSpec(
        name="notify",
        version="1",
        description="Send a message to a person or channel outside.",
        category="communication",
        tier="external",
        input_schema=_object({"to": _text(200), "message": _text(10_000)}),
        output_schema=_object({"status": {"type": "integer"}, "delivered_to": {"type": "string"}}),
    ),
)
"""`notify` posts to the address in its configuration, `{"url": …}`; without one it delivers to the
tenant's mailbox on this machine. `fetch` reaches the hosts in its own, `{"hosts": […]}`: none at
first."""

AGENTS: tuple[AgentSpec, ...] = (
    AgentSpec(
        id="researcher",
        name="Researcher",
        role="researcher",
        goal="Answer questions from the tenant's documents, with citations.",
        instructions="You answer from the tenant's documents. Search them first. Say only what "
        "the sources say, cite each statement as [1], and say plainly when they do not answer.",
        capabilities={"research": 0.9, "summarise": 0.7},
    ),
    AgentSpec(
        id="analyst",
        name="Analyst",
        role="analyst",
        goal="Compute answers and check numbers.",
        instructions="You compute. Use a program for every number, never your head, and report "
        "what it printed. Search the documents when you need facts, and cite them as [1].",
        capabilities={"analysis": 0.9, "compute": 0.9, "summarise": 0.6, "research": 0.5},
    ),
    AgentSpec(
        id="messenger",
        name="Messenger",
        role="messenger",
        goal="Pass messages on and put texts into files.",
        instructions="You send messages and write files, exactly as the task says and nothing "
        "beyond it. Report what was sent or written, or plainly why it was not.",
        capabilities={"communicate": 0.9, "write": 0.8},
    ),
)

GRANTS: Mapping[str, tuple[str, ...]] = {
    "researcher": ("search_memory",),
    "analyst": (
        "run_python",
        "calculate",
        "search_memory",
        "query_table",
        "read_file",
        "list_files",
    ),
    "messenger": ("notify", "write_file"),
}
"""Agent → the tools it may call."""


def provision_catalogue(tenant: TenantId, *, tools: Tools, agents: Agents) -> None:
    """Give a tenant the built-in tools and agents it does not have yet.

    An agent's grants are made with the agent, once: what somebody revoked stays revoked.
    """
    tools.provision(tenant, TOOLS)
    present = {agent.id for agent in agents.list(tenant)}
    for spec in AGENTS:
        if spec.id in present:
            continue
        for tool in GRANTS[spec.id]:
            tools.grant(tenant, spec.id, tool)
        # Last, so that an agent is never there without its grants, even after a crash.
        agents.provision(tenant, [spec])
