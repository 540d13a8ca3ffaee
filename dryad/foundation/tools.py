"""Which tools a tenant has, who may call them, and what one call would risk.

Everything is denied unless it is allowed: an unknown, inactive or ungranted tool is refused on
every way in, because every way in asks `Tools.permit`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from dryad.foundation.approval_rules import CALL, Act, ApprovalPolicy
from dryad.foundation.database.models import GrantRow, ToolRow
from dryad.foundation.errors import Conflict, InvalidRequest, NotFound, Refused
from dryad.foundation.grants import Grants
from dryad.foundation.ids import TenantId
from dryad.foundation.schemas import as_json, violation
from dryad.foundation.seal import is_sealed
from dryad.foundation.tool_rows import (
    columns,
    grants_for,
    named,
    no_such_tool,
    sealed,
    spec_of,
    versions_of,
)
from dryad.foundation.tool_rules import (
    TIERS,
    Category,
    Grant,
    Permit,
    Status,
    Tier,
    ToolSpec,
    at_least,
    checked_category,
    checked_config,
    checked_spec,
    effective_tier,
    is_unclassified,
    rank,
    reconfigured,
    refuse_other_ears,
    refuse_ungranted,
)

__all__ = [
    "TIERS", "ApprovalPolicy", "Grant", "Permit", "Tier", "ToolSpec", "Tools", "at_least"
]  # fmt: skip


_CLASSIFY = "Somebody must read what it does, and `dryad tools classify` it."


class Tools(Grants):
    """The tool registry of every tenant."""

    def register(self, tenant: TenantId, spec: ToolSpec, *, by: str = "system") -> ToolSpec:
        """Store a new version of a tool.

        Raises:
            InvalidRequest: a name, version, tier or schema is wrong.
            Conflict: that version exists.
            NotFound: the tenant does not.
        """
        spec = checked_spec(spec)
        try:
            with self._database.transaction() as session:
                session.add(
                    ToolRow(
                        tenant=tenant, created=self._clock(), **columns(tenant, spec, self._seal)
                    )
                )
                session.flush()
                self._say(
                    session, tenant, "tool_registered", by=by, tool=named(spec), tier=spec.tier
                )
        except IntegrityError as error:
            if self._row_exists(tenant, spec):
                raise _taken(spec) from error
            raise NotFound(f"no tenant {tenant}") from error
        return spec

    def register_all(
        self, tenant: TenantId, specs: Collection[ToolSpec], *, by: str = "system"
    ) -> list[ToolSpec]:
        """Register several versions, all or none.

        Raises:
            InvalidRequest: one of them is wrong.
            Conflict: one of them exists.
        """
        checked = [checked_spec(spec) for spec in specs]
        for spec in checked:
            if self._row_exists(tenant, spec):
                raise _taken(spec)
        return [self.register(tenant, spec, by=by) for spec in checked]

    def provision(self, tenant: TenantId, specs: Collection[ToolSpec]) -> None:
        """Register those of `specs` whose version the tenant does not have yet."""
        for spec in specs:
            if not self._row_exists(tenant, spec):
                self.register(tenant, spec)

    def get(self, tenant: TenantId, name: str, version: str | None = None) -> ToolSpec:
        """Return one version; without `version` the newest active one, else the newest.

        Raises:
            NotFound: the tenant has no such tool.
        """
        for spec in self._versions_of(tenant, name):
            if version is None or spec.version == version:
                return spec
        raise no_such_tool(name if version is None else f"{name} {version}")

    def set_status(
        self, tenant: TenantId, name: str, version: str, status: Status, *, by: str = "system"
    ) -> ToolSpec:
        """Let a version be called (`active`) or not (everything else)."""
        if status not in get_args(Status):
            raise InvalidRequest(f"a tool's status is one of {', '.join(get_args(Status))}")
        if status == "active" and is_unclassified(self.get(tenant, name, version)):
            raise Refused(f"tool {name} is unclassified", _CLASSIFY)
        return self._change(tenant, name, version, by, "tool_status_changed", status=status)

    def describe(
        self,
        tenant: TenantId,
        name: str,
        version: str,
        *,
        description: str | None = None,
        category: Category | None = None,
        by: str = "system",
    ) -> ToolSpec:
        """Say anew what a version is for; what it takes, does and returns never changes.

        Raises:
            NotFound: there is no such version.
            InvalidRequest: there is no such category.
            Conflict: it is a server's, whose own words are what was classified.
        """
        spec = self.get(tenant, name, version)
        if spec.kind == "mcp" and description is not None:
            raise Conflict(f"{name} {version} is described by its server, and was classified so")
        given = {"description": description, "category": category and checked_category(category)}
        said = {column: value for column, value in given.items() if value is not None}
        return self._change(tenant, name, version, by, "tool_described", **said)

    def delete(self, tenant: TenantId, name: str, version: str, *, by: str = "system") -> None:
        """Remove a version; with the last one of a tool go its grants.

        Its calls stay in the history. Name and version are never given again: an approval, a grant
        or a record that names them must not come to mean something else.

        Raises:
            NotFound: there is no such version.
            Conflict: it is built in; only its status can be changed.
        """
        if self.get(tenant, name, version).kind == "builtin":
            raise Conflict(
                f"tool {name} is built in",
                f"`dryad tools set-status {name} {version} inactive` takes it out of use.",
            )
        gone: dict[str, Any] = {"deleted": self._clock(), "status": "inactive", "config": {}}
        with self._database.transaction() as session:
            here = (ToolRow.tenant == tenant, ToolRow.name == name)
            session.execute(update(ToolRow).where(*here, ToolRow.version == version).values(**gone))
            if not versions_of(session, tenant, name, self._seal):
                session.execute(
                    delete(GrantRow).where(GrantRow.tenant == tenant, GrantRow.tool == name)
                )
            self._say(session, tenant, "tool_deleted", by=by, tool=f"{name} {version}")

    def seal_all(self) -> int:
        """Seal the configurations an earlier DRYAD stored readable; return how many those were."""
        if self._seal is None:
            return 0
        with self._database.transaction() as session:
            rows = session.scalars(select(ToolRow).where(ToolRow.deleted.is_(None))).all()
            readable = [row for row in rows if row.config and not is_sealed(row.config)]
            for row in readable:
                spec = spec_of(row, self._seal)
                row.config = sealed(TenantId(row.tenant), spec, self._seal)
            return len(readable)

    def discovered(
        self, tenant: TenantId, specs: Collection[ToolSpec], *, by: str = "system"
    ) -> list[ToolSpec]:
        """Register what a server says it has, as versions nobody may call yet.

        Other versions of those tools are deprecated: what they did is no longer what would happen.

        Returns:
            The versions that are new.
        """
        new = [spec for spec in specs if not self._row_exists(tenant, spec)]
        for spec in new:
            self.register(tenant, spec, by=by)
            for other in self._versions_of(tenant, spec.name):
                if other.version != spec.version and other.status == "active":
                    self.set_status(tenant, spec.name, other.version, "deprecated", by=by)
        return new

    def classify(
        self, tenant: TenantId, name: str, version: str, tier: Tier, *, by: str
    ) -> ToolSpec:
        """Give a discovered version its risk; only then may it be called.

        Raises:
            NotFound: there is no such version.
            InvalidRequest: that is no tier.
            Conflict: the tool was not discovered, so its tier came with it.
        """
        rank(tier)
        spec = self.get(tenant, name, version)
        if spec.kind != "mcp":
            raise Conflict(f"the tier of {name} {version} came with it; register a new version")
        config = {**spec.config, "classified_by": by}
        values = {"tier": tier, "status": "active", "config": config}
        return self._change(tenant, name, version, by, "tool_classified", **values)

    def configure(
        self,
        tenant: TenantId,
        name: str,
        version: str,
        config: Mapping[str, Any],
        *,
        by: str = "system",
    ) -> ToolSpec:
        """Replace what the administrator set for a version, such as a webhook's address.

        Raises:
            NotFound: there is no such version.
            InvalidRequest: the configuration is wrong, or would change what the version does.
        """
        spec = self.get(tenant, name, version)
        checked = checked_config(spec.kind, reconfigured(spec, config))
        return self._change(tenant, name, version, by, "tool_configured", config=checked)

    # -- the one question every call asks

    def permit(
        self,
        tenant: TenantId,
        agent: str,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        policy: ApprovalPolicy | None,
        role: str = "",
        untrusted: bool = False,
        heard_by: Callable[[], Collection[str]] = frozenset,
    ) -> Permit:
        """Decide one call, in code and every time, never by what a model was told.

        Args:
            tenant: Whose tool and agent.
            agent: The calling agent's id.
            tool: Name of the tool; its newest active version is meant.
            arguments: What the call would send.
            policy: The tenant's policy; without one nothing is allowed.
            role: The agent's role; grants to it count.
            untrusted: The agent has read untrusted text: what has effects or reads secrets then
                needs a person, or is refused, as the policy says.
            heard_by: Tells the model providers that what the call returns may get to; asked only
                of a tool that reads secrets.

        Raises:
            Refused: unknown, inactive or deprecated tool, no grant, an expired one, or one whose
                conditions the call breaks; no policy, or one that does not allow it.
            InvalidRequest: the arguments do not satisfy the tool's schema.
        """
        with self._database.reading() as session:
            versions = versions_of(session, tenant, tool, self._seal)
            grants = grants_for(session, tenant, agent, role, tool)
        spec = _callable(versions, tool)
        if policy is None:
            raise Refused(f"no policy is in force, so {spec.name} cannot be called")
        plain = as_json(arguments, what="the arguments")
        if problem := violation(spec.input_schema, plain):
            raise InvalidRequest(f"{spec.name} cannot take these arguments: {problem}")
        refuse_ungranted(grants, agent, spec, plain, self._clock())
        if spec.config.get("reads_secrets", False):
            refuse_other_ears(spec, heard_by(), policy.secret_providers)
        return _judged(policy, spec, plain, agent=agent, untrusted=untrusted)

    def offered(self, tenant: TenantId, agent: str, *, role: str = "") -> list[ToolSpec]:
        """Return the active tools an agent holds a live grant for: what a model is shown."""
        now = self._clock()
        with self._database.reading() as session:
            live = {
                grant.tool
                for grant in grants_for(session, tenant, agent, role)
                if grant.expires is None or grant.expires > now
            }
            newest = [versions_of(session, tenant, name, self._seal)[:1] for name in sorted(live)]
        return [spec for found in newest for spec in found if spec.status == "active"]

    # -- inside

    def _row_exists(self, tenant: TenantId, spec: ToolSpec) -> bool:
        with self._database.reading() as session:
            return session.get(ToolRow, (tenant, spec.name, spec.version)) is not None

    def _versions_of(self, tenant: TenantId, name: str) -> list[ToolSpec]:
        with self._database.reading() as session:
            return versions_of(session, tenant, name, self._seal)

    def _change(
        self, tenant: TenantId, name: str, version: str, by: str, event: str, **values: Any
    ) -> ToolSpec:
        with self._database.transaction() as session:
            row = session.get(ToolRow, (tenant, name, version))
            if row is None or row.deleted is not None:
                raise no_such_tool(f"{name} {version}")
            spec = replace(spec_of(row, self._seal), **values)
            for column, value in columns(tenant, spec, self._seal).items():
                if column in values:
                    setattr(row, column, value)
            # A configuration may hold an address with a key in it: the trail names it only.
            said = {k: sorted(v) if k == "config" else v for k, v in values.items()}
            self._say(session, tenant, event, by=by, tool=named(spec), **said)
            return spec

    # -- last, because its name hides the builtin below it

    def list(
        self, tenant: TenantId, *, active_only: bool = False, category: Category | None = None
    ) -> list[ToolSpec]:
        """Return every version of every tool, by name, the newest version first."""
        with self._database.reading() as session:
            rows = session.scalars(
                select(ToolRow)
                .where(ToolRow.tenant == tenant, ToolRow.deleted.is_(None))
                .order_by(ToolRow.name, ToolRow.created.desc(), ToolRow.version.desc())
            )
            specs = [spec_of(row, self._seal) for row in rows]
        return [
            spec
            for spec in specs
            if (spec.status == "active" or not active_only) and category in {None, spec.category}
        ]


def _taken(spec: ToolSpec) -> Conflict:
    return Conflict(
        f"tool {spec.name} {spec.version} is or was registered already",
        "What a version takes and does never changes: register a new version.",
    )


def _callable(versions: Sequence[ToolSpec], tool: str) -> ToolSpec:
    """Return the version that is called, when it may be by anybody at all."""
    if not versions:
        raise Refused(f"there is no tool {tool[:80]!r}")
    spec = versions[0]
    if is_unclassified(spec):
        raise Refused(f"tool {spec.name} {spec.version} is unclassified", _CLASSIFY)
    if spec.status != "active":
        raise Refused(f"tool {spec.name} {spec.version} is {spec.status}")
    return spec


def _judged(
    policy: ApprovalPolicy,
    spec: ToolSpec,
    arguments: Mapping[str, Any],
    *,
    agent: str,
    untrusted: bool,
) -> Permit:
    """Return what the policy says of a call that is granted."""
    tier = effective_tier(spec, arguments)
    wanted = policy.judge(Act(tier, spec.config.get("action", CALL), spec.name, agent))
    if wanted.need == "refuse":
        raise Refused(f"the policy does not allow {spec.name}: {wanted.why}")
    tainted = untrusted and _is_out_of_reach(spec, tier)
    if tainted and policy.untrusted_needs == "refuse":
        raise Refused(f"having read untrusted text, the agent may no longer call {spec.name}")
    return Permit(
        spec,
        arguments,
        tier,
        needs_approval=tainted or wanted.approvers > 0,
        notify=wanted.need == "notify",
        policy_version=policy.version,
    )


def _is_out_of_reach(spec: ToolSpec, tier: Tier) -> bool:
    """Whether a tool is not for agents that may act on somebody else's words."""
    return at_least(tier, "irreversible") or spec.config.get("reads_secrets", False)
