"""What every installation has from its first start: the default tenant and the operator's key."""

from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import TenantRow
from dryad.foundation.keys import Keys
from dryad.foundation.secrets import Secrets
from dryad.foundation.tenants import DEFAULT


def provision(database: Database, secrets: Secrets, clock: Clock = utc_now) -> None:
    """See that the tenant `default` and the local operator's key exist.

    Every start of every process may call it: what is there is left as it is, so a revoked
    operator key stays revoked.
    """
    with database.transaction() as session:
        lock(session, "provision")
        if session.get(TenantRow, DEFAULT) is None:
            session.add(TenantRow(id=DEFAULT, name="Default", status="active", created=clock()))
            session.flush()
        Keys(database, secrets.key_pepper, clock).provide(
            DEFAULT, "local operator", ["operator"], secrets.operator_key, session=session
        )
