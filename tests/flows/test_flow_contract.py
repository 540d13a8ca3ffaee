"""A flow body that changed carries a new contract number, or waiting runs misread their journal."""

import hashlib
import inspect
from types import ModuleType

import pytest

from flows import ingest_documents, orchestrate_task, recovery_drill, restore_backup

BODIES = {
    "orchestrate_task": (orchestrate_task, 7, "540aa8cc40b41c83"),
    "recovery_drill": (recovery_drill, 1, "d492e9704264f4cb"),
    "restore_backup": (restore_backup, 2, "1ee573a4634acded"),
    "ingest_documents": (ingest_documents, 2, "63711a075dd12d8a"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_changed_body_has_a_new_contract_number(name: str):
    module, number, known = BODIES[name]
    assert number == module.CONTRACT, "write the new number and digest here"
    assert digest(module) == known, (
        "the order, keys or types of this flow's steps may have changed: raise its CONTRACT, then "
        f"write the number and {digest(module)} here"
    )


def digest(module: ModuleType) -> str:
    """Digest of the code of a flow's module, comments and blank lines aside."""
    lines = (line.split("#")[0].rstrip() for line in inspect.getsource(module).splitlines())
    return hashlib.sha256("\n".join(filter(None, lines)).encode()).hexdigest()[:16]
