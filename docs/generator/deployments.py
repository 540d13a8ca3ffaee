"""Every deployment: its flow, its schedule, what it does."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from docs.generator.markdown import first_paragraph, page, table

ROOT = Path(__file__).parents[2]

INTRODUCTION = """\
What `dryad up` registers with Prefect, from `prefect.yaml`. Schedules are in UTC. A deployment or a
schedule that an operator paused in the UI stays paused."""


def deployments() -> str:
    """Return the page of all deployments."""
    rows = [
        (
            f"`{full_name(entry)}`",
            _schedule(entry.get("schedules") or []),
            " ".join(f"`{tag}`" for tag in entry.get("tags") or []) or "—",
            first_paragraph(ast.get_docstring(_flow(entry))),
        )
        for entry in deployed()
    ]
    head = ("Flow / deployment", "Runs", "Tags", "What it does")
    return page("Deployments", INTRODUCTION, table(head, rows))


def deployed() -> list[dict[str, Any]]:
    """Return the deployments of `prefect.yaml`, in its order."""
    return yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def full_name(entry: dict[str, Any]) -> str:
    """Return `flow/deployment`; the flow's name is said in its decorator, or is its function's."""
    function = _flow(entry)
    for decorator in function.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else []:
            if keyword.arg == "name":
                return f"{ast.literal_eval(keyword.value)}/{entry['name']}"
    return f"{function.name.replace('_', '-')}/{entry['name']}"


def _flow(entry: dict[str, Any]) -> ast.AsyncFunctionDef:
    """Find the flow without importing it."""
    module, _, name = entry["entrypoint"].rpartition(".")
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
    return next(
        node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == name
    )


def _schedule(schedules: Sequence[dict[str, Any]]) -> str:
    return "<br>".join(f"`{line['cron']}`" for line in schedules) or "on demand"
