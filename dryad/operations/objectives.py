"""Whether the installation could be recovered as promised, told before somebody must."""

from datetime import datetime, timedelta

from sqlalchemy import select

from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock
from dryad.foundation.database import Database
from dryad.foundation.database.models import AuditRow, TenantRow
from dryad.foundation.tenants import DEFAULT
from dryad.operations.backups.manifest import age_in_words
from dryad.operations.backups.sets import Backups
from dryad.operations.drills import RPO, Drill
from dryad.operations.health import Finding

DRILLED_EVERY = timedelta(days=35)
"""`recovery-drill/monthly` runs on the first of each month; this leaves it some days."""

SAFEGUARD_EVERY = timedelta(minutes=10)
"""How often the keeper looks: each look reads every manifest of every target."""

DRILLED = "recovery_drilled"
"""What the audit chain calls a drill."""


def recoverable(backups: Backups, database: Database, clock: Clock) -> Finding:
    """Say whether there is a good set young enough, and a drill that held what was promised.

    Raises:
        Unavailable: a target does not answer.
    """
    now = clock()
    born, drilled = _history(database)
    if born is None:
        return Finding("healthy", "there is nothing yet to lose")
    due = [text for text in (_set_due(backups, now, born), _drill_due(drilled, now, born)) if text]
    return Finding("unhealthy", "; ".join(due)) if due else Finding("healthy")


def record(audit: Audit, ended: Drill, *, actor: str) -> None:
    """Put a drill on record, however it went; health asks the newest."""
    audit.append(
        DEFAULT,
        DRILLED,
        actor=actor,
        subject=ended.set_id,
        data={
            "rto_seconds": ended.rto.total_seconds(),
            "rpo_seconds": ended.rpo.total_seconds(),
            "missed": ended.missed,
        },
    )


def _set_due(backups: Backups, now: datetime, born: datetime) -> str:
    good = [one for one in backups.listed() if one.state in {"verified", "unverified"}]
    moments = [one.manifest.started for one in good if one.manifest is not None]
    newest = max((moment for moment in moments if moment <= now), default=None)
    if now - (newest or born) <= RPO:
        return ""
    hours = RPO.total_seconds() / 3600
    if newest is None:
        return "RPO: there is no good backup set; dryad backup create"
    return (
        f"RPO: the newest good backup set is {age_in_words(now - newest)} old, allowed are "
        f"{hours:.0f} h; dryad backup create"
    )


def _drill_due(drilled: AuditRow | None, now: datetime, born: datetime) -> str:
    if drilled is not None and drilled.data.get("missed"):
        return f"the drill of {drilled.at:%Y-%m-%d} missed: {'; '.join(drilled.data['missed'])}"
    last = born if drilled is None else drilled.at
    if now - last <= DRILLED_EVERY:
        return ""
    return f"no recovery was drilled for {age_in_words(now - last)}; dryad backup drill"


def _history(database: Database) -> tuple[datetime | None, AuditRow | None]:
    """Return when the first tenant was made, and the newest drill."""
    newest = select(AuditRow).where(AuditRow.event == DRILLED).order_by(AuditRow.at.desc()).limit(1)
    with database.reading() as session:
        born = session.scalar(select(TenantRow.created).order_by(TenantRow.created).limit(1))
        return born, session.scalars(newest).first()
