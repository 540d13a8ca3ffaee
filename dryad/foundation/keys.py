"""API keys: who calls, for which tenant, and what they may do.

A key reads `dk_live_<id>_<256 random bits>`. The ledger holds its id and a digest made with the
installation's pepper; neither a copy of the ledger nor a log line is enough to call.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import ApiKeyRow, TenantRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused, Unauthenticated
from dryad.foundation.ids import TenantId
from dryad.foundation.secrets import new_key_text

Scope = Literal["tasks:read", "tasks:write", "review", "memory", "admin", "operator"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a key can be for; `operator` covers every scope of every tenant."""

_TEXT = re.compile(r"dk_live_([0-9a-f]{16})_[0-9a-f]{64}")
_USE_NOTED = timedelta(minutes=1)


@dataclass(frozen=True)
class Caller:
    """Who is at the other end of an authenticated request."""

    key_id: str
    tenant: TenantId
    scopes: frozenset[Scope]
    name: str

    def allows(self, scope: Scope) -> bool:
        """Whether the caller's key is for `scope`."""
        return scope in self.scopes or "operator" in self.scopes

    def require(self, scope: Scope) -> None:
        """Let the caller pass.

        Raises:
            Refused: the key is not for `scope`.
        """
        if not self.allows(scope):
            raise Refused(
                f"key {self.name!r} lacks the scope {scope}",
                f"Use a key with {scope}; an administrator makes one with `dryad keys create`.",
            )

    def sees(self, tenant: str) -> bool:
        """Whether the data of `tenant` exists for the caller."""
        return tenant == self.tenant or "operator" in self.scopes


@dataclass(frozen=True)
class Key:
    """One key as it may be shown: everything but the key."""

    id: str
    tenant: TenantId
    name: str
    scopes: tuple[Scope, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None
    """Exact to a minute."""


@dataclass(frozen=True)
class NewKey:
    """A key just made; its `text` is seen this once and never again."""

    id: str
    text: str

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r})"


class Keys:
    """Make, recognise, replace and revoke API keys."""

    def __init__(self, database: Database, pepper: bytes, clock: Clock = utc_now) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock

    def create(
        self,
        tenant: str,
        name: str,
        scopes: Iterable[str],
        expires: datetime | None = None,
        *,
        by: Caller | None = None,
    ) -> NewKey:
        """Make a key.

        Args:
            tenant: Whose data the key reaches.
            name: What the key is for, 1-100 characters, for people.
            scopes: At least one of `SCOPES`.
            expires: From when it is no longer accepted; None: never.
            by: Who asks; nobody gives away more than they have. None: the operator's own hand.

        Raises:
            InvalidRequest: no scope, an unknown one, an empty name, or an expiry in the past.
            NotFound: no such tenant, or not visible to `by`.
            Refused: `by` lacks one of the scopes.
        """
        wanted = checked_scopes(scopes)
        if by is not None:
            for scope in wanted:
                by.require(scope)
        if not 1 <= len(name.strip()) <= 100 or not name.isprintable():
            raise InvalidRequest("a key's name must be 1-100 printable characters")
        if expires is not None and expires <= self._clock():
            raise InvalidRequest("a key cannot expire in the past")
        with self._database.transaction() as session:
            found = session.get(TenantRow, tenant)
            if found is None or found.status != "active" or (by and not by.sees(tenant)):
                raise NotFound(f"no tenant {tenant[:80]!r}")
            return self._add(
                session, new_key_text(), tenant, name.strip(), scopes=wanted, expires=expires
            )

    def provide(
        self, tenant: str, name: str, scopes: Iterable[str], text: str, *, session: Session
    ) -> None:
        """Make the key `text` known, in the caller's transaction, unless it is known already.

        Raises:
            InvalidRequest: `text` is no key.
        """
        if not _TEXT.fullmatch(text):
            raise InvalidRequest("that is not the text of a key")
        if session.get(ApiKeyRow, _id(text)) is None:
            self._add(session, text, tenant, name, scopes=checked_scopes(scopes), expires=None)

    def authenticate(self, text: str) -> Caller:
        """Recognise the caller by the key they show.

        Raises:
            Unauthenticated: no such key, or it is expired or revoked, or its tenant closed.
        """
        if not _TEXT.fullmatch(text):
            raise Unauthenticated("no valid key came with the request")
        now = self._clock()
        with self._database.reading() as session:
            row = session.get(ApiKeyRow, _id(text))
            stored = row.digest if row is not None else "0" * 64
            if not hmac.compare_digest(stored, self._digest(text)) or row is None:
                raise Unauthenticated("no valid key came with the request")
            tenant = session.get(TenantRow, row.tenant)
        if row.revoked is not None:
            raise Unauthenticated(f"the key {row.name!r} was revoked")
        if row.expires is not None and row.expires <= now:
            raise Unauthenticated(f"the key {row.name!r} has expired")
        if tenant is None or tenant.status != "active":
            raise Unauthenticated(f"the tenant of the key {row.name!r} is closed")
        if row.last_used is None or row.last_used <= now - _USE_NOTED:
            self._note_use(row.id, now)
        return Caller(row.id, TenantId(row.tenant), frozenset(row.scopes), row.name)

    def list(self, tenant: str) -> list[Key]:
        """Return the keys of a tenant, oldest first, also those no longer accepted."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(ApiKeyRow)
                .where(ApiKeyRow.tenant == tenant)
                .order_by(ApiKeyRow.created, ApiKeyRow.id)
            )
            return [_key(row) for row in rows]

    def get(self, id: str) -> Key:  # noqa: A002 - the word of the domain
        """Return one key.

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.reading() as session:
            return _key(_row(session, id))

    def rotate(self, id: str, overlap: timedelta) -> NewKey:  # noqa: A002 - the word of the domain
        """Make a successor with the same rights and lifetime; both are accepted for `overlap`.

        Raises:
            InvalidRequest: `overlap` is negative.
            NotFound: there is none of that id.
            Conflict: the key is not accepted any more.
        """
        if overlap < timedelta(0):
            raise InvalidRequest("the overlap cannot be negative")
        now = self._clock()
        with self._database.transaction() as session:
            row = _row(session, id)
            if row.revoked is not None or (row.expires is not None and row.expires <= now):
                raise Conflict(
                    f"the key {row.name!r} is not accepted any more",
                    "Make a new one with `dryad keys create`.",
                )
            life = None if row.expires is None else row.expires - row.created
            row.expires = now + overlap if row.expires is None else min(row.expires, now + overlap)
            return self._add(
                session,
                new_key_text(),
                row.tenant,
                row.name,
                scopes=checked_scopes(row.scopes),
                expires=None if life is None else now + life,
            )

    def revoke(self, id: str) -> None:  # noqa: A002 - the word of the domain
        """Accept the key no longer, from now on; revoking twice changes nothing.

        Raises:
            NotFound: there is none of that id.
        """
        with self._database.transaction() as session:
            row = _row(session, id)
            row.revoked = row.revoked or self._clock()

    def _add(
        self,
        session: Session,
        text: str,
        tenant: str,
        name: str,
        *,
        scopes: tuple[Scope, ...],
        expires: datetime | None,
    ) -> NewKey:
        row = ApiKeyRow(
            id=_id(text),
            tenant=tenant,
            name=name,
            scopes=list(scopes),
            digest=self._digest(text),
            created=self._clock(),
            expires=expires,
        )
        session.add(row)
        return NewKey(row.id, text)

    def _digest(self, text: str) -> str:
        return hmac.new(self._pepper, text.encode(), hashlib.sha256).hexdigest()

    def _note_use(self, key: str, now: datetime) -> None:
        due = or_(ApiKeyRow.last_used.is_(None), ApiKeyRow.last_used <= now - _USE_NOTED)
        with self._database.transaction() as session:
            session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key, due).values(last_used=now))


def checked_scopes(scopes: Iterable[str]) -> tuple[Scope, ...]:
    """Return `scopes` in their usual order, each once.

    Raises:
        InvalidRequest: none is given, or one is unknown.
    """
    wanted = set(scopes)
    if unknown := sorted(wanted.difference(SCOPES)):
        raise InvalidRequest(f"unknown scope {unknown[0][:80]!r}", f"One of: {', '.join(SCOPES)}.")
    if not wanted:
        raise InvalidRequest("a key needs at least one scope", f"One of: {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _id(text: str) -> str:
    return text.split("_")[2]


def _row(session: Session, key: str) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key)
    if row is None:
        raise NotFound(f"no key {key[:80]!r}", "`dryad keys list` shows them.")
    return row


def _key(row: ApiKeyRow) -> Key:
    return Key(
        id=row.id,
        tenant=TenantId(row.tenant),
        name=row.name,
        scopes=tuple(row.scopes),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        last_used=row.last_used,
    )
