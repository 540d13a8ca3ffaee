"""What may be used: accounts with caps, charged by reservations that are taken before a step.

Accounts form a path: a tenant, a project, a task, an agent of that task. A step reserves what it
may use at most in all of them at once, or in none; afterwards it is charged what it really used. A
reservation nobody settles (its process died) is charged in full when its lease ends, so what is
left is never locked out for longer.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from dryad.foundation.accounts import (
    PERIOD,
    RESOURCES,
    SHAPES,
    Account,
    Amounts,
    Line,
    Reservation,
    own,
    whole,
)
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import BudgetRow, ReservationRow
from dryad.foundation.errors import LimitExceeded, NotFound
from dryad.foundation.ids import new_id


class Budgets:
    """Every account of the installation."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        *,
        lease: timedelta = timedelta(minutes=10),
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._audit = audit
        self._lease = lease
        self._clock = clock

    # -- accounts

    def open(self, accounts: Sequence[str], caps: Mapping[str, Mapping[str, Any]] = {}) -> None:
        """See that the accounts exist; caps are those of new ones, what is there stays.

        Args:
            accounts: See `accounts_of`.
            caps: Account → resource or shape → the most.
        """
        wanted = len(accounts) * len((*RESOURCES, *SHAPES))
        with self._database.reading() as session:
            query = select(func.count()).where(BudgetRow.account.in_(accounts))
            if session.scalar(query) == wanted:
                return
        with self._database.transaction() as session:
            lock(session, "budgets")
            there = set(
                session.scalars(
                    select(BudgetRow.account).where(BudgetRow.account.in_(accounts)).distinct()
                )
            )
            for name in accounts:
                if name not in there:
                    self._add(session, name, whole(caps.get(name, {})))

    def set_caps(
        self, account: str, caps: Mapping[str, Decimal | int | float | None], *, by: str
    ) -> Account:
        """Change the caps named; None takes a limit away. What is spent already stays spent.

        Raises:
            InvalidRequest: the account or a resource is unknown, or a cap is negative.
        """
        tenant, kept = account.partition("/")[0], whole(caps)
        self.open([account])
        with self._database.transaction() as session:
            for resource, cap in kept.items():
                session.execute(
                    update(BudgetRow)
                    .where(BudgetRow.account == account, BudgetRow.resource == resource)
                    .values(cap=cap)
                )
            told = {name: None if cap is None else str(cap) for name, cap in caps.items()}
            self._audit.append(
                tenant, "budget_set", actor=by, subject=account, data=told, session=session
            )
        return self.get(account)

    def get(self, account: str) -> Account:
        """Return one account.

        Raises:
            NotFound: it was never opened.
        """
        found = self._read(BudgetRow.account == account)
        if not found:
            raise NotFound(f"no account {account[:200]!r}", "`dryad budget show` lists them.")
        return found[0]

    def of_tenant(self, tenant: str, *, begins: str = "", limit: int = 200) -> list[Account]:
        """Return a tenant's accounts by name; `begins`: those below it alone, such as `task:`."""
        below = BudgetRow.account.startswith(f"{tenant}/{begins}", autoescape=True)
        mine = below if begins else or_(below, BudgetRow.account == tenant)
        return self._read(mine, limit=limit)

    # -- steps

    def reserve(
        self,
        accounts: Sequence[str],
        amounts: Amounts,
        *,
        id: str = "",  # noqa: A002
    ) -> Reservation:
        """Take what a step may use at most out of all its accounts, or out of none.

        Args:
            accounts: Open accounts, the widest first.
            amounts: Resource → the most; a resource not named is charged when it is settled.
            id: Names the step; reserving again under the same id changes nothing.

        Raises:
            LimitExceeded: an account's cap would be passed, or is reached already.
        """
        most = {name: amount or 0 for name, amount in whole(amounts).items()}
        most.setdefault("wall_seconds", 1)  # time is known afterwards: some has to be left
        now = self._clock()
        with self._database.transaction() as session:
            if id and (row := session.get(ReservationRow, id)) is not None:
                return Reservation(row.id, tuple(row.accounts), row.amounts)
            self._begin_periods(session, accounts, now)
            amount = _by_resource(most)
            taken = session.execute(
                update(BudgetRow)
                .where(BudgetRow.account.in_(accounts))
                .where(BudgetRow.resource.in_(RESOURCES))
                .where(
                    or_(
                        BudgetRow.cap.is_(None),
                        amount == 0,
                        BudgetRow.spent + BudgetRow.reserved + amount <= BudgetRow.cap,
                    )
                )
                .values(reserved=BudgetRow.reserved + amount)
                .returning(BudgetRow.account, BudgetRow.resource)
                .execution_options(synchronize_session=False)
            ).all()
            if len(taken) < len(accounts) * len(RESOURCES):
                raise self._passed(session, accounts, {(a, r) for a, r in taken}, most)
            made = Reservation(id or new_id("hold"), tuple(accounts), most)
            session.add(
                ReservationRow(
                    id=made.id, accounts=list(accounts), amounts=dict(most), reserved_at=now,
                    expires=now + self._lease, settled=None,
                )
            )  # fmt: skip
            return made

    def settle(self, id: str, used: Amounts | None) -> bool:  # noqa: A002 - the word of the domain
        """Charge what a step really used and give the rest back; once, whoever does it.

        Args:
            id: The reservation.
            used: None: nobody knows, so everything reserved is charged.

        Returns:
            Whether this call charged it.
        """
        with self._database.transaction() as session:
            return self._settle(session, id, used)

    def settle_lapsed(self, *, limit: int = 500) -> int:
        """Charge in full what dead processes reserved; return how many reservations that were."""
        with self._database.reading() as session:
            lapsed = session.scalars(
                select(ReservationRow.id)
                .where(ReservationRow.settled.is_(None), ReservationRow.expires <= self._clock())
                .order_by(ReservationRow.expires)
                .limit(limit)
            ).all()
        return sum(self.settle(id, None) for id in lapsed)  # noqa: A001

    def forget_settled(self, *, before: datetime) -> int:
        """Drop reservations that were settled before a time; return how many."""
        with self._database.transaction() as session:
            gone = session.execute(
                delete(ReservationRow)
                .where(ReservationRow.settled < before)
                .returning(ReservationRow.id)
            ).all()
            return len(gone)

    def allow_shape(self, accounts: Sequence[str], **wanted: int) -> None:
        """Refuse work that branches further than an account allows.

        Raises:
            LimitExceeded: `depth` or `fan_out` is above a cap.
        """
        for account in self._read(BudgetRow.account.in_(accounts)):
            for shape, value in wanted.items():
                cap = account.lines[shape].cap
                if cap is not None and value > cap:
                    raise LimitExceeded(
                        f"the {shape} of {value} is above the budget of {account.name}, {cap}",
                        f"`dryad budget set {account.name} {shape}={value}` would allow it.",
                    )

    # -- inside

    def _add(self, session: Session, account: str, caps: Mapping[str, int | None]) -> None:
        period = None if "/task:" in account else _period(self._clock())
        session.add_all(
            BudgetRow(
                account=account, resource=name, cap=caps.get(name), spent=0, reserved=0,
                period=period,
            )
            for name in (*RESOURCES, *SHAPES)
        )  # fmt: skip
        session.flush()

    def _begin_periods(self, session: Session, accounts: Sequence[str], now: datetime) -> None:
        # Every step of a tenant changes the tenant's rows: in turn, and never crosswise.
        lock(session, f"budget:{accounts[0]}")
        session.execute(
            update(BudgetRow)
            .where(BudgetRow.account.in_(accounts), BudgetRow.period < _period(now))
            .values(spent=0, period=_period(now))
            .execution_options(synchronize_session=False)
        )

    def _settle(self, session: Session, id: str, used: Amounts | None) -> bool:  # noqa: A002
        now = self._clock()
        row = session.execute(
            update(ReservationRow)
            .where(ReservationRow.id == id, ReservationRow.settled.is_(None))
            .values(settled=now)
            .returning(ReservationRow.accounts, ReservationRow.amounts)
        ).one_or_none()
        if row is None:
            return False
        accounts, held = cast("tuple[list[str], dict[str, int]]", tuple(row))
        charged = held if used is None else {n: a or 0 for n, a in whole(used).items()}
        self._begin_periods(session, accounts, now)  # it is charged to the period it ends in
        session.execute(
            update(BudgetRow)
            .where(BudgetRow.account.in_(accounts))
            .values(
                spent=BudgetRow.spent + _by_resource(charged),
                reserved=BudgetRow.reserved - _by_resource(held),
            )
            .execution_options(synchronize_session=False)
        )
        return True

    def _passed(
        self,
        session: Session,
        accounts: Sequence[str],
        taken: set[tuple[str, str]],
        most: Mapping[str, int],
    ) -> LimitExceeded:
        rows = session.scalars(
            select(BudgetRow)
            .where(BudgetRow.account.in_(accounts), BudgetRow.resource.in_(RESOURCES))
            .execution_options(populate_existing=True)
        ).all()
        for row in sorted(rows, key=lambda row: accounts.index(row.account)):
            if (row.account, row.resource) in taken:
                continue
            line, wanted = _line(row), own(row.resource, most.get(row.resource, 0))
            return LimitExceeded(
                f"the budget of {row.account} does not allow it: {wanted} {row.resource} wanted, "
                f"{line.left} of {line.cap} left",
                f"`dryad budget show {row.account}` shows what was used.",
            )
        missing = set(accounts) - {row.account for row in rows}
        raise NotFound(f"no account {', '.join(sorted(missing))[:200]}")

    def _read(self, mine: Any, *, limit: int = 1_000) -> list[Account]:
        with self._database.reading() as session:
            rows = session.scalars(
                select(BudgetRow)
                .where(mine)
                .order_by(BudgetRow.account)
                .limit(limit * len((*RESOURCES, *SHAPES)))
            ).all()
        found: dict[str, list[BudgetRow]] = {}
        for row in rows:
            found.setdefault(row.account, []).append(row)
        return [_account(name, lines, self._clock()) for name, lines in found.items()]


def _by_resource(amounts: Mapping[str, int]) -> Any:
    return case(dict(amounts), value=BudgetRow.resource, else_=0) if amounts else 0


def _period(at: datetime) -> int:
    return int(at.timestamp() // PERIOD.total_seconds())


def _line(row: BudgetRow) -> Line:
    cap = None if row.cap is None else own(row.resource, row.cap)
    return Line(cap, own(row.resource, row.spent), own(row.resource, row.reserved))


def _account(name: str, rows: Sequence[BudgetRow], now: datetime) -> Account:
    period = rows[0].period
    past = period is not None and period < _period(now)
    lines = {row.resource: _line(row) for row in rows}
    if past:  # nothing was charged since: it begins anew with the next step
        lines = {n: Line(one.cap, Decimal(0), one.reserved) for n, one in lines.items()}
    ends = None
    if period is not None:
        seconds = (_period(now) + 1) * PERIOD.total_seconds()
        ends = datetime.fromtimestamp(seconds, tz=now.tzinfo)
    return Account(name, lines, ends)
