"""Where the newest link of each audit chain is remembered outside the database."""

import fcntl
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from dryad.foundation.errors import Corrupt, InvalidRequest


@dataclass(frozen=True)
class Head:
    """The newest row of a chain: its sequence, and its code, which covers the sequence too."""

    sequence: int
    mac: str


class Anchor:
    """A directory with one small file per tenant; each change is on the disk when it returns.

    On a disk of its own, or a mount the database's users cannot write, it proves the most.
    """

    def __init__(self, directory: Path) -> None:
        if directory.exists() and not directory.is_dir():
            raise InvalidRequest(
                f"{directory} is not a directory", "Set DRYAD_AUDIT_ANCHOR to a directory."
            )
        self._directory = directory

    def read(self, tenant: str) -> Head | None:
        """Return the head of a tenant's chain; None: nothing was ever anchored.

        Raises:
            Corrupt: the file is damaged or cannot be read.
        """
        try:
            text = self._file(tenant).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Corrupt(f"the audit anchor cannot be read: {error.strerror}") from error
        try:
            stored = orjson.loads(text)
            return Head(int(stored["sequence"]), str(stored["mac"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"the audit anchor {self._file(tenant)} is damaged") from error

    def advance(self, tenant: str, head: Head) -> None:
        """Remember `head`, unless a newer one is remembered already.

        Raises:
            OSError: the directory cannot be written.
        """
        with self._locked():
            known = self.read(tenant)
            if known is None or known.sequence < head.sequence:
                self._write(tenant, head)

    def replace(self, tenant: str, head: Head) -> None:
        """Remember `head` whatever was remembered before.

        Raises:
            OSError: the directory cannot be written.
        """
        with self._locked():
            self._write(tenant, head)

    def heads(self) -> dict[str, Head]:
        """Return every head by its tenant.

        Raises:
            Corrupt: one is damaged or cannot be read.
        """
        tenants = [path.stem for path in self._directory.glob("[!.]*.json")]
        found = {tenant: self.read(tenant) for tenant in sorted(tenants)}
        return {tenant: head for tenant, head in found.items() if head is not None}

    def reset(self, heads: Mapping[str, Head]) -> None:
        """Remember these heads and no others; doing so again finishes what was interrupted.

        Raises:
            OSError: the directory cannot be written.
        """
        with self._locked():
            for tenant, head in heads.items():
                self._write(tenant, head)
            for path in self._directory.glob("[!.]*.json"):
                if path.stem not in heads:
                    path.unlink()

    def _file(self, tenant: str) -> Path:
        return self._directory / f"{tenant}.json"

    @contextmanager
    def _locked(self) -> Generator[int]:
        """Hold the directory; its own descriptor is the lock."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _write(self, tenant: str, head: Head) -> None:
        handle, draft = tempfile.mkstemp(dir=self._directory, prefix=".draft-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(orjson.dumps({"sequence": head.sequence, "mac": head.mac}))
                stream.flush()
                os.fsync(stream.fileno())
            Path(draft).replace(self._file(tenant))
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
        directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
