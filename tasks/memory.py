"""Level 2 as steps of a run: what is known already, and what is worth knowing next time."""

from dryad.orchestration.findings import Finding, synthesise
from dryad.orchestration.tasks import Task
from tasks._journal import step
from tasks._services import services

DIARY = "diary"
"""Owner of the notes about finished tasks."""

RECALLED = 3
"""Notes and passages brought back at most, each."""


@step("recall")
def recall(task: Task) -> str:
    """Return what short- and long-term memory hold about the task, as text to be told an agent."""
    dryad = services()
    notes = dryad.archivist.list(task.tenant, DIARY, limit=RECALLED)
    passages = dryad.librarian.search(task.tenant, task.text[:2_000], RECALLED)
    lines = [f"Recent task: {note.value['asked']} → {note.value['answer']}" for note in notes]
    lines += [
        f"From {passage.title}, {passage.section} ({passage.provenance}): {passage.text[:300]}"
        for passage in passages
    ]
    return "\n".join(lines)


@step("remember")
def remember(task: Task, findings: list[Finding]) -> None:
    """Note what was asked and answered, for the next tasks of the tenant."""
    note = {"asked": task.text[:300], "answer": synthesise(findings)["answer"][:600]}
    services().archivist.remember(task.tenant, DIARY, task.id, note)
