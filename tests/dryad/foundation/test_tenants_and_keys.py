"""Tenants are named once; a key opens what it was made for, until it is not accepted any more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from dryad.foundation.database import Database
from dryad.foundation.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    Refused,
    Unauthenticated,
)
from dryad.foundation.keys import Caller, Keys
from dryad.foundation.provision import provision
from dryad.foundation.secrets import Secrets
from dryad.foundation.tenants import Tenants
from tests.crowd import crowd

PEPPER = b"p" * 32


class Now:
    """A clock a test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def keys(database: Database, now: Now) -> Keys:
    Tenants(database).create("acme", "Acme")
    return Keys(database, PEPPER, now)


def test_tenants_are_listed_by_id_and_named_once(database: Database):
    tenants = Tenants(database)
    tenants.create("globex", "Globex")
    tenants.create("acme", " Acme Ltd ")
    assert [(t.id, t.name, t.status) for t in tenants.list()] == [
        ("acme", "Acme Ltd", "active"),
        ("globex", "Globex", "active"),
    ]
    with pytest.raises(Conflict):
        tenants.create("acme", "Another")
    assert tenants.get("acme").name == "Acme Ltd"


@pytest.mark.parametrize(
    ("tenant", "name"), [("Acme", "A"), ("", "A"), ("a" * 65, "A"), ("acme/../x", "A"), ("a", " ")]
)
def test_a_tenant_nobody_could_address_is_refused(database: Database, tenant: str, name: str):
    with pytest.raises(InvalidRequest):
        Tenants(database).create(tenant, name)
    assert Tenants(database).list() == []


def test_a_key_says_who_calls_and_what_for(keys: Keys):
    made = keys.create("acme", "ci", ["tasks:write", "tasks:read"])
    caller = keys.authenticate(made.text)
    assert (caller.key_id, caller.tenant, caller.name) == (made.id, "acme", "ci")
    assert caller.scopes == {"tasks:read", "tasks:write"}
    assert caller.sees("acme")
    assert not caller.sees("globex")
    caller.require("tasks:read")
    with pytest.raises(Refused, match="admin"):
        caller.require("admin")


def test_the_key_itself_is_stored_nowhere(keys: Keys, database: Database):
    made = keys.create("acme", "ci", ["memory"])
    secret = made.text.rsplit("_", 1)[1]
    with database.reading() as session:
        stored = [str(row) for row in session.execute(text("SELECT * FROM api_keys"))]
    assert made.id in stored[0]
    assert secret not in stored[0]
    assert secret not in repr(made)


def test_a_wrong_key_is_no_key(keys: Keys, database: Database):
    made = keys.create("acme", "ci", ["memory"])
    flipped = made.text[:-1] + ("0" if made.text[-1] != "0" else "1")
    unknown = f"dk_live_{'0' * 16}_{'0' * 64}"
    for wrong in ("", "Bearer", made.text.upper(), made.text + "0", flipped, unknown):
        with pytest.raises(Unauthenticated, match="no valid key"):
            keys.authenticate(wrong)
    with pytest.raises(Unauthenticated):
        Keys(database, b"q" * 32).authenticate(made.text)


def test_an_expired_a_revoked_and_a_closed_tenants_key_are_refused(
    keys: Keys, database: Database, now: Now
):
    brief = keys.create("acme", "brief", ["memory"], now() + timedelta(hours=1))
    revoked = keys.create("acme", "revoked", ["memory"])
    other = keys.create("acme", "other", ["memory"])
    keys.revoke(revoked.id)
    keys.revoke(revoked.id)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.authenticate(revoked.text)
    now.time += timedelta(minutes=59)
    assert keys.authenticate(brief.text).name == "brief"
    now.time += timedelta(minutes=1)
    with pytest.raises(Unauthenticated, match="expired"):
        keys.authenticate(brief.text)
    with database.transaction() as session:
        session.execute(text("UPDATE tenants SET status = 'closed'"))
    with pytest.raises(Unauthenticated, match="closed"):
        keys.authenticate(other.text)


def test_a_rotated_key_and_its_successor_overlap(keys: Keys, now: Now):
    old = keys.create("acme", "ci", ["review"], now() + timedelta(days=30))
    now.time += timedelta(days=20)
    new = keys.rotate(old.id, timedelta(hours=2))
    assert new.id != old.id
    assert keys.authenticate(new.text).scopes == keys.authenticate(old.text).scopes == {"review"}
    now.time += timedelta(hours=2)
    with pytest.raises(Unauthenticated):
        keys.authenticate(old.text)
    assert keys.get(new.id).expires == datetime(2026, 2, 20, tzinfo=UTC)
    with pytest.raises(Conflict):
        keys.rotate(old.id, timedelta(hours=2))
    assert [key.id for key in keys.list("acme")] == [old.id, new.id]


def test_an_overlap_never_makes_a_key_live_longer(keys: Keys, now: Now):
    old = keys.create("acme", "ci", ["review"], now() + timedelta(hours=1))
    keys.rotate(old.id, timedelta(hours=5))
    assert keys.get(old.id).expires == now() + timedelta(hours=1)
    with pytest.raises(InvalidRequest):
        keys.rotate(old.id, timedelta(seconds=-1))


def test_the_last_use_is_written_once_a_minute(keys: Keys, database: Database, now: Now):
    made = keys.create("acme", "ci", ["memory"])
    writes: list[str] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def count(_c: object, _u: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE"):
            writes.append(statement)

    for _ in range(12):
        keys.authenticate(made.text)
        now.time += timedelta(seconds=10)
    assert len(writes) == 2
    assert keys.get(made.id).last_used == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_a_key_for_nothing_for_nobody_or_for_the_past_is_refused(keys: Keys, now: Now):
    for scopes, error in (([], InvalidRequest), (["root"], InvalidRequest)):
        with pytest.raises(error):
            keys.create("acme", "ci", scopes)
    with pytest.raises(InvalidRequest):
        keys.create("acme", "ci", ["memory"], now())
    with pytest.raises(InvalidRequest):
        keys.create("acme", "", ["memory"])
    with pytest.raises(NotFound):
        keys.create("globex", "ci", ["memory"])
    for unknown in ("", "0" * 16):
        with pytest.raises(NotFound):
            keys.revoke(unknown)
    assert keys.list("acme") == []


def test_nobody_gives_away_more_than_they_have(keys: Keys, database: Database):
    Tenants(database).create("globex", "Globex")
    admin = keys.authenticate(keys.create("acme", "admin", ["admin", "memory"]).text)
    assert keys.create("acme", "ci", ["memory"], by=admin).id
    with pytest.raises(Refused):
        keys.create("acme", "ci", ["operator"], by=admin)
    with pytest.raises(NotFound):
        keys.create("globex", "ci", ["memory"], by=admin)
    operator = Caller("k", admin.tenant, frozenset({"operator"}), "op")
    assert keys.create("globex", "ci", ["review"], by=operator).id


def provision_from(url: str, directory: str) -> None:
    provision(Database(url), Secrets.create_or_read(Path(directory)))


def test_twelve_processes_provision_one_tenant_and_one_operator(database: Database, tmp_path: Path):
    url = database.url.render_as_string(hide_password=False)
    ended = crowd(12, f"{__name__}:provision_from", url, tmp_path / "secrets")
    assert [e.complained for e in ended if e.status] == []
    secrets = Secrets.read(tmp_path / "secrets")
    keys = Keys(database, secrets.key_pepper)
    assert [tenant.id for tenant in Tenants(database).list()] == ["default"]
    assert [key.name for key in keys.list("default")] == ["local operator"]
    caller = keys.authenticate(secrets.operator_key)
    assert caller.allows("admin")
    assert caller.sees("any-tenant")


def test_a_revoked_operator_key_stays_revoked(database: Database, tmp_path: Path):
    secrets = Secrets.create_or_read(tmp_path / "secrets")
    provision(database, secrets)
    keys = Keys(database, secrets.key_pepper)
    keys.revoke(keys.list("default")[0].id)
    provision(database, secrets)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.authenticate(secrets.operator_key)
