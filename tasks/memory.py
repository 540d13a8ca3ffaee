"""Level 2 as steps of a run: what is known already, and what is worth knowing next time."""

from dryad.execution.coordinator import Asker
from dryad.orchestration.findings import Finding, synthesise
from dryad.orchestration.hybrid import Known
from dryad.orchestration.tasks import Task
from tasks._journal import step
from tasks._services import services

DIARY = "diary"
"""Owner of the notes about finished tasks."""

RECALLED = 3
"""Notes and passages brought back at most, each."""


@step("recall")
def recall(task: Task) -> Known:
    """Return what short- and long-term memory hold about the task."""
    dryad = services()
    notes = sorted(
        dryad.archivist.list(task.tenant, DIARY), key=lambda note: note.expires, reverse=True
    )[:RECALLED]
    passages = dryad.librarian.search(task.tenant, task.text[:2_000], RECALLED)
    labelled = [(note.provenance, f"Recent task: {note.value}") for note in notes]
    labelled += [
        (hit.provenance, f"{hit.title}, {hit.section}: {hit.text[:300]}") for hit in passages
    ]
    return Known(
        "\n".join(f"[{provenance}] {text}" for provenance, text in labelled),
        untrusted=any(provenance == "untrusted" for provenance, _ in labelled),
    )


@step("remember")
def remember(task: Task, findings: list[Finding]) -> None:
    """Note what was asked and answered, for the next tasks of the tenant."""
    answer = synthesise(findings)["answer"]
    untrusted = any(finding.done.untrusted for finding in findings)
    services().scribe.note(
        Asker(task.tenant, DIARY),
        f"Asked: {task.text[:300]}\nAnswered: {answer[:600]}",
        origin=f"task:{task.id}",
        provenance="untrusted" if untrusted else "trusted",
        kind="short_term",
    )
