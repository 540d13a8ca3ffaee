"""How the installation is: one measurement per component, and what they add up to."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import select

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database.engine import Database
from dryad.foundation.database.models import HealthRow
from dryad.foundation.errors import DryadError

Status = Literal["healthy", "degraded", "unhealthy"]

COMPONENTS = ("database", "redis", "chromadb", "llm")
"""What the runbook's status names; `details` holds every other component that is measured."""

STALE_AFTER = 3
"""Periods after which a measurement says nothing any more."""


@dataclass(frozen=True)
class Finding:
    """What a probe found; `reason` is '' when there is nothing to say."""

    status: Status
    reason: str = ""


Probe = Callable[[], Finding]
"""Looks at one component now; raising means it is unhealthy."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The newest finding about one component.

    Attributes:
        latency_ms: How long the probe took.
        age_seconds: How long ago; None when it was never measured.
    """

    status: Status
    reason: str
    latency_ms: float
    age_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class HealthReport:
    """How the whole is, and why."""

    status: Status
    at: datetime
    uptime_seconds: int
    details: Mapping[str, Measurement] = field(default_factory=dict[str, Measurement])

    def document(self, *, requests: int, errors: int) -> dict[str, Any]:
        """Return the runbook's JSON shape, with `details` beside it.

        Args:
            requests: Answered by this process since it started.
            errors: How many of them were its own fault.
        """
        return {
            "status": self.status,
            "timestamp": f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            "components": {name: self.details[name].status for name in COMPONENTS},
            "metrics": {
                "uptime_seconds": self.uptime_seconds,
                "requests_total": requests,
                "errors_total": errors,
            },
            "details": {
                name: {
                    "status": found.status,
                    "reason": found.reason,
                    "latency_ms": round(found.latency_ms, 3),
                    "age_seconds": found.age_seconds,
                }
                for name, found in sorted(self.details.items())
            },
        }


class Health:
    """Keeps measurements and adds them up.

    One process measures; every process reports. The database is the exception: reading the
    measurements is its probe, so each report measures it anew.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock = utc_now,
        started: datetime | None = None,
        *,
        period: timedelta = timedelta(seconds=15),
        periods: Mapping[str, timedelta] | None = None,
        required: frozenset[str] = frozenset(),
    ) -> None:
        """Describe the installation's components.

        Args:
            database: Where measurements are kept.
            clock: The time.
            started: When this process started; default now.
            period: How often a component is measured.
            periods: Components that are measured at another pace.
            required: Components that must be healthy, not merely degraded.
        """
        self._database = database
        self._clock = clock
        self._started = started or clock()
        self._period = period
        self._periods = periods or {}
        self._required = required

    def record(
        self, component: str, status: Status, reason: str = "", latency_ms: float = 0.0
    ) -> None:
        """Keep the newest measurement of one component."""
        with self._database.transaction() as session:
            session.merge(
                HealthRow(
                    component=component,
                    status=status,
                    reason=reason,
                    latency_ms=latency_ms,
                    measured=self._clock(),
                )
            )

    def measure(self, probes: Mapping[str, Probe]) -> dict[str, Finding]:
        """Run every probe and record what it found; a probe that raises found it unhealthy."""
        found: dict[str, Finding] = {}
        for component, probe in probes.items():
            began = time.perf_counter()
            try:
                finding = probe()
            except Exception as error:  # noqa: BLE001 - the failure is the measurement
                finding = Finding("unhealthy", _brief(error))
            self.record(
                component,
                finding.status,
                finding.reason,
                (time.perf_counter() - began) * 1000,
            )
            found[component] = finding
        return found

    def report(self) -> HealthReport:
        """Say how the installation is; never raises because something is down."""
        now, began = self._clock(), time.perf_counter()
        details = {name: _unmeasured("not measured yet") for name in COMPONENTS}
        try:
            with self._database.reading() as session:
                rows = list(session.scalars(select(HealthRow)))
        except DryadError as error:
            details = dict.fromkeys(details, _unmeasured("unknown while the database is down"))
            database = Finding("unhealthy", error.message)
        else:
            details |= {row.component: self._judged(row, now) for row in rows}
            database = Finding("healthy")
        details["database"] = Measurement(
            status=database.status,
            reason=database.reason,
            latency_ms=(time.perf_counter() - began) * 1000,
            age_seconds=0.0,
        )
        return HealthReport(
            status=self._overall(details),
            at=now,
            uptime_seconds=max(0, int((now - self._started).total_seconds())),
            details=details,
        )

    def _judged(self, row: HealthRow, now: datetime) -> Measurement:
        age = max(timedelta(), now - row.measured)
        period = self._periods.get(row.component, self._period)
        status, reason = cast("Status", row.status), row.reason
        if age > STALE_AFTER * period:
            status, reason = "unhealthy", f"not measured since {row.measured:%Y-%m-%dT%H:%M:%SZ}"
        return Measurement(
            status=status,
            reason=reason,
            latency_ms=row.latency_ms,
            age_seconds=round(age.total_seconds(), 1),
        )

    def _overall(self, details: Mapping[str, Measurement]) -> Status:
        must = self._required | {"database"}
        if any(name in details and details[name].status != "healthy" for name in must):
            return "unhealthy"
        if any(found.status == "unhealthy" for found in details.values()):
            return "degraded"
        return "healthy"  # what is degraded by choice, such as an offline model, is no fault


def _unmeasured(reason: str) -> Measurement:
    return Measurement(status="unhealthy", reason=reason, latency_ms=0.0, age_seconds=None)


def _brief(error: Exception) -> str:
    text = error.message if isinstance(error, DryadError) else f"{type(error).__name__}: {error}"
    return text.splitlines()[0][:300].rstrip(": ")
