"""Backup sets as flows: made, shown, proved, and refused with a reason."""

from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from dryad.bootstrap import Services
from dryad.execution.memories import Document
from dryad.foundation.ids import TenantId
from flows.back_up import BackupForm, back_up
from flows.verify_backup import VerifyForm, verify_backup

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


async def table(key: str) -> str:
    async with get_client() as client:
        (found, *_) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.UPDATED_DESC,
        )
    return str(found.data)


async def test_a_set_is_kept_shown_and_proved(installation: Services, tmp_path: Path):
    for number in range(3):
        installation.librarian.shelve(
            TenantId("acme"),
            Document(
                f"Tide tables {number}",
                f"The tide at harbour {number} turns at noon.",
                f"t{number}",
            ),
        )
    state = await back_up(BackupForm(kind="daily", prune=True), return_state=True)
    (made,) = installation.backups.listed()
    assert state.is_completed()
    assert state.message == f"set {made.id}; 0 old sets removed"
    assert made.manifest is not None
    assert [part.name for part in made.manifest.parts] == ["dryad", "files", "settings"]
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [made.id]
    assert made.id in await table("backup-sets")

    state = await verify_backup(VerifyForm(), return_state=True)
    assert state.message == f"set {made.id} restores"
    assert installation.backups.find(made.id).state == "verified"


async def test_a_rotten_set_fails_its_run_and_is_named(installation: Services, tmp_path: Path):
    await back_up(BackupForm())
    (file,) = (tmp_path / "backups").rglob("dryad.*")
    file.write_bytes(file.read_bytes()[:-1])
    state = await verify_backup(VerifyForm(), return_state=True)
    assert state.is_failed()
    assert "truncated" in str(state.message)
    assert "truncated" in await table("backup-sets")


async def test_a_critical_set_without_a_reason_is_refused(installation: Services):
    state = await back_up(BackupForm(critical=True), return_state=True)
    assert (state.name, installation.backups.listed()) == ("Refused", [])
    state = await verify_backup(VerifyForm(), return_state=True)
    assert (state.name, "no backup set" in str(state.message)) == ("Refused", True)


async def test_a_run_that_fails_leaves_nothing_half_done(installation: Services, tmp_path: Path):
    (installation.settings.home / "workspaces").mkdir()
    broken = installation.settings.home / "workspaces" / "unreadable"
    broken.symlink_to("nowhere")  # a link is kept as a link
    state = await back_up(BackupForm(), return_state=True)
    assert state.is_completed()
    installation.backups.stores.home.joinpath("dryad.db").rename(tmp_path / "elsewhere")
    state = await back_up(BackupForm(), return_state=True)
    assert state.is_failed()
    assert len(list((tmp_path / "backups").iterdir())) == 1
