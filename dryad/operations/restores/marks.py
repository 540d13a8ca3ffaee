"""What a restored installation is told before anything of it works: stand still, trust nothing old.

Whatever was open when the set was made may have been answered, done or refused since. So the global
stop is set, runs and schedules stand still, open tasks and questions are held for a person, and a
new epoch makes every approval, code and lease from before worthless.
"""

import secrets
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, select, text, update

from dryad.foundation.anchor import Anchor, Head
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock
from dryad.foundation.database import Database, migrate
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import (
    AuditRow,
    CaseRow,
    InstallationRow,
    StopRow,
    TaskRow,
    TenantRow,
)

ACTOR = "restore"
_OPEN_TASKS = ("submitted", "running", "waiting")
_OPEN_CASES = ("pending", "in_progress")


@dataclass(frozen=True)
class Held:
    """What waits for a person in a restored installation."""

    tasks: int
    cases: int
    runs: int


@dataclass(frozen=True)
class Origin:
    """Where a restored installation comes from."""

    set_id: str
    snapshot: datetime
    abandoned: Mapping[str, Head]
    """The heads of the audit chains that are left behind, as the anchor knows them."""

    @property
    def reason(self) -> str:
        """What everybody who is stopped reads."""
        return f"restored from backup set {self.set_id} of {self.snapshot:%Y-%m-%d %H:%M:%S} UTC"


def mark_ledger(url: str, origin: Origin, *, key: bytes, heads: Path, clock: Clock) -> Held:
    """Bring a restored ledger to this code's schema and tell it what it is.

    Args:
        url: SQLAlchemy URL of the restored, not yet live DRYAD database.
        origin: Where it comes from.
        key: The installation's audit key.
        heads: An empty directory; holds the heads of the continued chains afterwards.
        clock: Tells the time.
    """
    with closing(Database(url, pool_size=2)) as database:
        migrate.upgrade(database)
        audit = Audit(database, key, heads, clock)
        with database.transaction() as session:
            lock(session, "installation")
            session.merge(_fact("epoch", {"epoch": secrets.token_hex(8)}, clock))
            session.merge(
                _fact("restored", {"set": origin.set_id, "at": clock().isoformat()}, clock)
            )
            session.add(
                StopRow(
                    tenant="*", scope="global", reason=origin.reason, set_by=ACTOR, set_at=clock()
                )
            )
            tasks = session.execute(
                update(TaskRow)
                .where(TaskRow.status.in_(_OPEN_TASKS))
                .values(status="held", reason=origin.reason, updated=clock())
            )
            cases = session.execute(
                update(CaseRow).where(CaseRow.status.in_(_OPEN_CASES)).values(status="held")
            )
            tenants = {*session.scalars(select(AuditRow.tenant).distinct())}
            tenants |= {*session.scalars(select(TenantRow.id))}
        for tenant in sorted(tenants):
            left = origin.abandoned.get(tenant)
            audit.append(
                tenant,
                "restored",
                actor=ACTOR,
                subject=origin.set_id,
                data={
                    "snapshot": origin.snapshot.isoformat(),
                    "abandoned_head": None if left is None else asdict(left),
                },
            )
        return Held(_rows(tasks), _rows(cases), 0)


def mark_prefect(url: str, origin: Origin, *, clock: Clock) -> int:
    """Let nothing start in a restored Prefect database: no schedule, automation or run from before.

    Returns:
        How many runs are held: Cancelled, by the name Held, so that neither a worker nor an answer
        in an old form moves them. What only a schedule would have started does not count.
    """
    engine = create_engine(url)
    now = clock()
    at = f"{now:%Y-%m-%d %H:%M:%S.%f}" + ("" if engine.dialect.name == "sqlite" else "+00")
    try:
        with engine.begin() as connection:
            connection.execute(text("UPDATE deployment_schedule SET active = false"))
            connection.execute(text("UPDATE automation SET enabled = false"))
            live = connection.execute(text(_LIVE_RUNS)).all()
            for run, _ in live:
                values = {"run": str(run), "state": str(uuid4()), "at": at, "why": origin.reason}
                connection.execute(text(_HELD_STATE), values)
                connection.execute(text(_HELD_RUN), values)
            return sum(not scheduled for _, scheduled in live)
    finally:
        engine.dispose()


_LIVE_RUNS = """
    SELECT id, auto_scheduled FROM flow_run
    WHERE state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')
"""
_HELD_STATE = """
    INSERT INTO flow_run_state (id, flow_run_id, type, name, timestamp, message)
    VALUES (:state, :run, 'CANCELLED', 'Held', :at, :why)
"""
_HELD_RUN = """
    UPDATE flow_run SET state_id = :state, state_type = 'CANCELLED', state_name = 'Held',
        state_timestamp = :at, idempotency_key = NULL, next_scheduled_start_time = NULL
    WHERE id = :run
"""


def abandoned_heads(anchor: Path) -> dict[str, Head]:
    """Return the heads an installation is about to leave behind."""
    return Anchor(anchor).heads()


def _fact(key: str, value: dict[str, str], clock: Clock) -> InstallationRow:
    return InstallationRow(key=key, value=value, updated=clock())


def _rows(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
