"""What a backup set says of itself: signed, written last, read first."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.errors import Corrupt, Refused
from dryad.operations.backups.key import BackupKey

FORMAT = 1
MANIFEST = "manifest.json"
VERIFICATION = "verification.json"

SetId = str
"""`20251013-020000-1f3c`: when its snapshot began (UTC), and four random hex digits."""

PartName = Literal["dryad", "prefect", "files", "settings", "cluster"]
"""A set has the first four; a base backup has the whole PostgreSQL cluster."""

Technology = Literal["sqlite", "postgresql", "tar", "env", "basebackup"]

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One sealed file of a set, and what it holds once it is open."""

    name: PartName
    technology: Technology
    file: str
    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str
    counts: dict[str, int]
    """Rows of each table, or files of each kind."""
    positions: dict[str, Any] = field(default_factory=dict[str, Any])
    """How far things had come: the head of each audit chain, the epoch, the revision."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in a set."""

    format: int
    id: SetId
    started: datetime
    """When its snapshot began: nothing committed before is missing."""
    finished: datetime
    kind: str
    """What it was made for: `daily`, `on-demand`, `safety`."""
    critical: bool
    """Kept until a person removes it."""
    reason: str
    versions: dict[str, str]
    recipient: str
    """The public half of the key it is sealed for."""
    parts: tuple[Part, ...]

    @property
    def stored_bytes(self) -> int:
        """What the set takes up in a target."""
        return sum(part.stored_bytes for part in self.parts)

    @property
    def plain_bytes(self) -> int:
        """What the set takes up when it is restored."""
        return sum(part.plain_bytes for part in self.parts)

    def part(self, name: PartName) -> Part | None:
        """Return one part, if the set has it."""
        return next((part for part in self.parts if part.name == name), None)

    def signed(self, key: BackupKey) -> bytes:
        """Return the manifest as it is stored."""
        return _signed(asdict(self), key)

    @property
    def digest(self) -> str:
        """What a verification refers to."""
        return digest(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a look at a whole set found, kept beside it."""

    set: SetId
    manifest: str
    """Digest of the manifest that was looked at."""
    at: datetime
    problems: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether the set restores."""
        return not self.problems

    def signed(self, key: BackupKey) -> bytes:
        """Return the finding as it is stored."""
        return _signed(asdict(self), key)


def read_manifest(text: bytes, set_id: SetId, key: BackupKey) -> Manifest:
    """Return what a stored manifest says, if this key vouches for it.

    Raises:
        Refused: the set was made with another key, or by a newer DRYAD.
        Corrupt: the manifest is damaged or was changed.
    """
    what = f"the manifest of set {set_id}"
    stored = _parsed(text, what)
    made_for = stored.get("recipient")
    if made_for != key.recipient:
        raise Refused(
            f"set {set_id} is sealed for the key {made_for}, this installation has {key.recipient}",
            "Restore on the installation that made it, or with its exported keys (--keys).",
        )
    manifest: Manifest = _vouched(stored, what, key, TypeAdapter(Manifest))
    if manifest.format != FORMAT:
        raise Refused(
            f"set {set_id} has format {manifest.format}, this DRYAD reads {FORMAT}",
            "Use the DRYAD that made it, or a newer one.",
        )
    if manifest.id != set_id:
        raise Corrupt(f"{what} is that of set {manifest.id}: the set was renamed or mixed up")
    return manifest


def read_verification(text: bytes, manifest: Manifest, key: BackupKey) -> Verification | None:
    """Return a stored finding if it is about this very manifest; None: it is about another."""
    what = f"the verification of set {manifest.id}"
    found = _vouched(_parsed(text, what), what, key, TypeAdapter(Verification))
    return found if found.manifest == manifest.digest else None


def is_set_id(name: str) -> bool:
    """Whether a directory may be a set."""
    return _ID.fullmatch(name) is not None


def set_id(started: datetime, random: str) -> SetId:
    """Return the name of a set that began at `started`."""
    return f"{started:%Y%m%d-%H%M%S}-{random}"


def moment_of(set_id: SetId) -> str:
    """Return when a set was begun, by its name, to the second: `2025-10-13 02:00:00 UTC`."""
    begun = datetime.strptime(f"{set_id[:15]} +0000", "%Y%m%d-%H%M%S %z")
    return f"{begun:%Y-%m-%d %H:%M:%S} UTC"


def hours_of(period: timedelta) -> str:
    """Return a period as hours, minutes and seconds: `25:00:07`."""
    minutes, seconds = divmod(round(period.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def age_in_words(age: timedelta) -> str:
    """Return how long ago, to the unit that matters: `3 d`, `5 h`, `12 min`."""
    seconds = max(0, int(age.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _signed(document: Mapping[str, Any], key: BackupKey) -> bytes:
    body = {**document, "mac": key.sign(canonical_json(dict(document)))}
    return orjson.dumps(
        body,
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z
        | orjson.OPT_APPEND_NEWLINE,
    )  # fmt: skip


def _parsed(text: bytes, what: str) -> dict[str, Any]:
    try:
        stored = orjson.loads(text)
    except ValueError as error:
        raise Corrupt(f"{what} is damaged: it is not JSON") from error
    if not isinstance(stored, dict):
        raise Corrupt(f"{what} is damaged: it is no JSON object")
    return stored  # pyright: ignore[reportUnknownVariableType] - JSON


def _vouched(stored: dict[str, Any], what: str, key: BackupKey, shape: TypeAdapter[Any]) -> Any:
    body = {name: value for name, value in stored.items() if name != "mac"}
    if not key.signed(canonical_json(body), str(stored.get("mac"))):
        raise Corrupt(
            f"{what} was changed: its signature does not fit",
            "Do not restore this set; use another, and find out who could write there.",
        )
    try:
        return shape.validate_python(body)
    except ValidationError as error:
        raise Corrupt(f"{what} is signed but not readable: {error.errors()[0]['msg']}") from error
