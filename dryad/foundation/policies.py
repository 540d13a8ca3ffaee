"""What a tenant allows, and who must say yes: one versioned document, checked before it counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import select

from dryad.foundation import approval_rules
from dryad.foundation.approval_rules import Act, Requirement, Rule
from dryad.foundation.audit import Audit
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.locks import lock
from dryad.foundation.database.models import PolicyRow, TenantRow
from dryad.foundation.errors import Corrupt, InvalidRequest, NotFound
from dryad.foundation.tool_rules import Tier

Provider = Literal["ollama", "openai", "anthropic"]
"""A model provider that a policy can name; nothing leaves with the offline one."""


class PolicyDocument(BaseModel):
    """What a person writes; every field has a default, and nothing else may stand in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    approval_tier: Tier = Field(
        default="external", description="Tool calls of this tier or above wait for a person"
    )
    rules: tuple[Rule, ...] | None = Field(
        default=None,
        max_length=200,
        description="Instead of the tier: who must say yes to what; the first match decides, "
        "what none matches is refused",
    )
    unverified_needs: Literal["one", "two"] = Field(
        default="two", description="What one yes becomes when nobody knows who asked for the task"
    )
    untrusted_needs: Literal["approval", "refuse"] = Field(
        default="approval",
        description="Calls with effects, or of tools that read secrets, once an agent has read "
        "untrusted text: a person is asked, or they are refused",
    )
    providers: tuple[Provider, ...] | None = Field(
        default=None,
        description="Model providers that what is said may go to, beside the offline one, from "
        "which nothing leaves; none given: those the installation has",
    )
    secret_providers: tuple[Provider, ...] = Field(
        default=(),
        description="Those of them that may also hear what a tool with `reads_secrets` returns; "
        "while the tenant's text can get to any other, such a tool is not called",
    )
    task_force_above: float = Field(
        default=0.55, ge=0, le=1, description="Complexity above which several agents may work"
    )
    escalate_above: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Complexity from which a person decides first when the request is also unclear",
    )
    score_slope: float = Field(
        default=1.0, gt=0, le=100, description="Recalibration: what complexity's log odds times"
    )
    score_offset: float = Field(
        default=0.0, ge=-50, le=50, description="Recalibration: what is added to them"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "PolicyDocument":
        if self.task_force_above > self.escalate_above:
            raise ValueError("task_force_above must not exceed escalate_above")
        return self

    def judge(self, act: Act) -> Requirement:
        """Return what is wanted before `act` happens; see `approval_rules.judge`."""
        return approval_rules.judge(
            act,
            rules=self.rules,
            approval_tier=self.approval_tier,
            unverified_needs=self.unverified_needs,
        )


class Policy(PolicyDocument):
    """A document in force, or once in force."""

    version: int
    """From 1; 0 is what is built in."""
    author: str
    created: datetime | None


@dataclass(frozen=True)
class Change:
    """One field that differs between two versions."""

    field: str
    before: Any
    after: Any


BUILT_IN = Policy(version=0, author="built in", created=None)


class Policies:
    """Show, set and compare the policies of tenants."""

    def __init__(self, database: Database, audit: Audit, clock: Clock = utc_now) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    def current(self, tenant: str) -> Policy:
        """Return the policy in force: the highest version, or what is built in.

        Raises:
            Corrupt: the stored document cannot be read; nothing may be allowed by it.
        """
        with self._database.reading() as session:
            row = session.scalars(_versions(tenant).limit(1)).first()
            return BUILT_IN if row is None else _policy(row)

    def get(self, tenant: str, version: int) -> Policy:
        """Return one version.

        Raises:
            NotFound: there is none of that number.
            Corrupt: the stored document cannot be read.
        """
        if version == BUILT_IN.version:
            return BUILT_IN
        with self._database.reading() as session:
            row = session.get(PolicyRow, (tenant, version))
        if row is None:
            raise NotFound(
                f"tenant {tenant[:80]!r} has no policy version {version}",
                "`dryad policies show` lists the versions.",
            )
        return _policy(row)

    def diff(self, tenant: str, older: int, newer: int) -> list[Change]:
        """Return the fields in which two versions differ.

        Raises:
            NotFound: one of them does not exist.
        """
        return _changes(self.get(tenant, older), self.get(tenant, newer))

    def set(self, tenant: str, document: str | bytes | Mapping[str, Any], *, author: str) -> Policy:
        """Put a document in force as the next version, on record.

        A document equal to the one in force makes no new version.

        Raises:
            InvalidRequest: the document cannot be read, or breaks a rule.
            NotFound: no such tenant.
        """
        wanted = parse(document)
        with self._database.transaction() as session:
            lock(session, f"policies:{tenant}")
            if session.get(TenantRow, tenant) is None:
                raise NotFound(f"no tenant {tenant[:80]!r}")
            row = session.scalars(_versions(tenant).limit(1)).first()
            before = BUILT_IN if row is None else _policy(row)
            changes = _changes(before, wanted)
            if not changes:
                return before
            row = PolicyRow(
                tenant=tenant,
                version=before.version + 1,
                document=wanted.model_dump(mode="json"),
                author=author,
                created=self._clock(),
            )
            session.add(row)
            self._audit.append(
                tenant,
                "policy_set",
                actor=author,
                subject=f"policy {row.version}",
                data={one.field: {"before": one.before, "after": one.after} for one in changes},
                session=session,
            )
            return _policy(row)

    def list(self, tenant: str) -> list[Policy]:
        """Return every version, newest first; the last is what is built in."""
        with self._database.reading() as session:
            return [*(_policy(row) for row in session.scalars(_versions(tenant))), BUILT_IN]


def parse(document: str | bytes | Mapping[str, Any]) -> PolicyDocument:
    """Read a document: JSON text, or the object it stands for.

    Raises:
        InvalidRequest: it is no JSON object, has an unknown field, or breaks a rule.
    """
    try:
        if isinstance(document, (str, bytes)):
            return PolicyDocument.model_validate_json(document)
        return PolicyDocument.model_validate(dict(document))
    except ValidationError as error:
        problems = "; ".join(
            ": ".join([".".join(map(str, problem["loc"])) or "document", problem["msg"]])
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise InvalidRequest(
            f"the policy cannot be used: {problems}",
            "`dryad policies show` prints one that can; correct it and set it again.",
        ) from error


def _versions(tenant: str) -> Any:
    return select(PolicyRow).where(PolicyRow.tenant == tenant).order_by(PolicyRow.version.desc())


def _policy(row: PolicyRow) -> Policy:
    try:
        document = parse(row.document)
    except InvalidRequest as error:
        raise Corrupt(
            f"policy {row.version} of tenant {row.tenant!r} cannot be read: {error.message}",
            "Set a policy that this DRYAD can read, or start the DRYAD that wrote it.",
        ) from error
    return Policy(
        **document.model_dump(), version=row.version, author=row.author, created=row.created
    )


def _changes(before: PolicyDocument, after: PolicyDocument) -> list[Change]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [
        Change(field, old[field], new[field])
        for field in PolicyDocument.model_fields
        if old[field] != new[field]
    ]
