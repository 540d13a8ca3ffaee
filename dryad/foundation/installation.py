"""What is true of the whole installation: its epoch, and the adapters it was started with."""

import secrets
from typing import Any

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import InstallationRow


class Installation:
    """The facts every process of an installation obeys."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock

    def epoch(self) -> str:
        """Return the installation's epoch, making it on the first call.

        Approvals, leases and codes contain it: a restored installation gets a new one, and
        nothing given before counts any more.
        """
        known = self._read("epoch")
        if known is None:
            known = self._remember("epoch", {"epoch": secrets.token_hex(8)}, replace=False)
        return str(known["epoch"])

    def adapters(self) -> dict[str, str]:
        """Return which adapter each part uses, as chosen when the installation started."""
        return {part: str(name) for part, name in (self._read("adapters") or {}).items()}

    def choose_adapters(self, chosen: dict[str, str]) -> None:
        """Record the adapters that every process obeys from now on."""
        self._remember("adapters", dict(chosen), replace=True)

    def _read(self, key: str) -> dict[str, Any] | None:
        with self._database.reading() as session:
            row = session.get(InstallationRow, key)
            return None if row is None else row.value

    def _remember(self, key: str, value: dict[str, Any], *, replace: bool) -> dict[str, Any]:
        with self._database.transaction() as session:
            lock(session, "installation")
            row = session.get(InstallationRow, key)
            if row is None:
                session.add(InstallationRow(key=key, value=value, updated=self._clock()))
                return value
            if replace:
                row.value, row.updated = value, self._clock()
            return row.value
