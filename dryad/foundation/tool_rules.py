"""What a tool is, and when a call of it is allowed: rules on values, no storage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast, get_args

from dryad.foundation.database.models import CATEGORIES
from dryad.foundation.errors import InvalidRequest, Refused
from dryad.foundation.ids import checked_name
from dryad.foundation.schemas import as_json, checked_schema, violation

Tier = Literal["read", "reversible", "irreversible", "external", "authority"]
TIERS: tuple[Tier, ...] = get_args(Tier)
"""Risk tiers, mildest first."""

Kind = Literal["builtin", "script", "http", "mcp"]
Status = Literal["active", "inactive", "maintenance", "deprecated"]
PrincipalType = Literal["agent", "role"]
Category = Literal[
    "database", "api", "file_system", "powershell", "bash", "analysis", "communication", "search",
    "code_execution", "monitoring", "educational", "research", "content_creation", "assessment",
    "llm", "web_scraping", "data_processing", "visualization",
]  # fmt: skip
"""What a tool is for, so that people find it; no rule depends on it."""

_USUAL: Mapping[Kind, Category] = {
    "builtin": "analysis", "script": "code_execution", "http": "api", "mcp": "api"
}  # fmt: skip

_OBJECT: dict[str, Any] = {"type": "object"}
_RAISE: dict[str, Any] = {
    "type": "object",
    "properties": {"when": {"type": "object"}, "tier": {"enum": list(TIERS)}},
    "required": ["when", "tier"],
    "additionalProperties": False,
}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_ACTION: dict[str, Any] = {"type": "string", "pattern": "^[a-z][a-z_]{0,63}$"}
_HOSTS: dict[str, Any] = {"type": "array", "items": _TEXT, "maxItems": 50}
_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "builtin": {},
    "script": {
        "properties": {"code": _TEXT, "stateful": {"type": "boolean"}},
        "required": ["code"],
    },
    "http": {
        "properties": {
            "method": {"enum": ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]},
            "base": {"type": "string", "pattern": "^https?://[^/@]+"},
            "path": {"type": "string", "pattern": "^/|^$"},
            "places": {
                "type": "object",
                "additionalProperties": {"enum": ["path", "query", "header", "body"]},
            },
            "hosts": _HOSTS,
            "private_hosts": _HOSTS,
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 300},
            "most_bytes": {"type": "integer", "minimum": 1, "maximum": 50_000_000},
        },
        "required": ["method", "base", "path", "places"],
    },
    "mcp": {
        "properties": {"server": _TEXT, "tool": _TEXT, "classified_by": _TEXT},
        "required": ["server", "tool"],
    },
}
"""What a kind's configuration must hold, beside `raises`."""

_FIXED: Mapping[str, tuple[str, ...]] = {
    "builtin": (),
    "script": ("code", "stateful"),
    "http": ("method", "path", "places"),
    "mcp": ("server", "tool", "classified_by"),
}
"""What of it says what a version does: it never changes."""

_CONDITIONS = frozenset({"arguments", "versions", "stateful"})


@dataclass(frozen=True)
class ToolSpec:
    """One version of a tool. Name, version and schemas never change once registered.

    `config` is what the tenant's administrator set for it, such as a webhook's address; it is
    never shown to a model. `config["action"]` names what kind of action a call is, for the rules
    of the policy: `data_deletion`, `financial_transaction`, …; `config["reads_secrets"]` says that
    what it returns must not leave. `config["raises"]` lists
    `{"when": <JSON Schema of the arguments>, "tier": <tier>}`: arguments that make a call riskier
    than the tool.
    """

    name: str
    version: str
    description: str
    tier: Tier
    input_schema: Mapping[str, Any] = field(default_factory=lambda: dict(_OBJECT))
    output_schema: Mapping[str, Any] = field(default_factory=lambda: dict(_OBJECT))
    idempotent: bool = False
    kind: Kind = "builtin"
    config: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    status: Status = "active"
    category: Category | None = None
    """None: the usual one of its kind."""


@dataclass(frozen=True)
class Grant:
    """An agent, or everybody of a role, may call a tool until `expires`.

    `conditions` narrow it: `arguments` is a JSON Schema the arguments must also satisfy,
    `versions` a list of the tool versions meant. One widens it: only with `stateful` true does it
    cover tools that keep files from call to call.
    """

    tool: str
    principal: str
    principal_type: PrincipalType
    conditions: Mapping[str, Any]
    created_by: str
    created: datetime
    expires: datetime | None


@dataclass(frozen=True)
class Permit:
    """Leave to make one call: exactly these arguments, at this risk."""

    spec: ToolSpec
    arguments: Mapping[str, Any]
    tier: Tier
    needs_approval: bool
    notify: bool = False
    """Nobody has to say yes, but somebody is told."""
    policy_version: int = 0
    """The policy that gave leave; a yes is good for this version alone."""


def at_least(tier: str, threshold: str) -> bool:
    """Whether `tier` is as risky as `threshold`, or riskier.

    Raises:
        InvalidRequest: one of them is no tier.
    """
    return rank(tier) >= rank(threshold)


def rank(tier: str) -> int:
    """Return the place of a tier in `TIERS`.

    Raises:
        InvalidRequest: it is no tier.
    """
    if tier not in TIERS:
        raise InvalidRequest(f"{tier[:40]!r} is no risk tier; they are {', '.join(TIERS)}")
    return TIERS.index(tier)


def is_unclassified(spec: ToolSpec) -> bool:
    """Whether a version was discovered and nobody has said yet how risky it is."""
    return spec.kind == "mcp" and "classified_by" not in spec.config


def is_stateful(spec: ToolSpec) -> bool:
    """Whether a version keeps files from one call of a session to the next."""
    return bool(spec.config.get("stateful", False))


def effective_tier(spec: ToolSpec, arguments: Any) -> Tier:
    """Return the riskiest of the tool's tier and what its arguments raise it to."""
    raised = [
        cast("Tier", rule["tier"])
        for rule in spec.config.get("raises", ())
        if not violation(rule["when"], arguments)
    ]
    return max([spec.tier, *raised], key=TIERS.index)


def refuse_ungranted(
    grants: Collection[Grant], agent: str, spec: ToolSpec, arguments: Any, now: datetime
) -> None:
    """Return when one of `grants` covers the call.

    Raises:
        Refused: none does; the reason is the last grant's.
    """
    reason = f"{agent} has no grant for {spec.name}"
    for grant in grants:
        if grant.expires is not None and grant.expires <= now:
            reason = f"the grant of {grant.principal} for {spec.name} expired"
        elif spec.version not in grant.conditions.get("versions", [spec.version]):
            reason = f"the grant of {grant.principal} does not cover {spec.name} {spec.version}"
        elif problem := violation(grant.conditions.get("arguments", {}), arguments):
            reason = f"the grant of {grant.principal} for {spec.name} does not allow it: {problem}"
        elif is_stateful(spec) and not grant.conditions.get("stateful"):
            reason = f"the grant of {grant.principal} does not let {spec.name} keep anything"
        else:
            return
    raise Refused(reason, f"`dryad tools grant {agent} {spec.name}` would allow it.")


def refuse_other_ears(spec: ToolSpec, heard_by: Collection[str], granted: Collection[str]) -> None:
    """Return when every provider that would hear what a tool reads was granted secrets.

    Raises:
        Refused: one was not.
    """
    if others := sorted(set(heard_by) - set(granted)):
        raise Refused(
            f"what {spec.name} returns is secret, and the policy does not let secrets go to "
            f"{', '.join(others)}",
            "`dryad policies set secret_providers=…` names the providers that may hear them.",
        )


def checked_spec(spec: ToolSpec) -> ToolSpec:
    """Return `spec` as plain JSON data, fit to be stored.

    Raises:
        InvalidRequest: a name, version, kind, tier, schema or configuration is wrong.
    """
    checked_name(spec.name, what="a tool's name")
    if not 1 <= len(spec.version) <= 32 or not spec.version.isprintable():
        raise InvalidRequest("a tool's version must be 1-32 printable characters")
    if spec.kind not in get_args(Kind):
        raise InvalidRequest(f"a tool's kind is one of {', '.join(get_args(Kind))}")
    rank(spec.tier)
    category = checked_category(spec.category or _USUAL[spec.kind])
    inputs = checked_schema(spec.input_schema, what="the input schema")
    if inputs.get("type") != "object":
        raise InvalidRequest("a tool's input schema must describe an object")
    if is_stateful(spec) and spec.idempotent:
        raise InvalidRequest("a tool that keeps something is not idempotent: calls change the next")
    return replace(
        spec,
        input_schema=inputs,
        output_schema=checked_schema(spec.output_schema, what="the output schema"),
        config=checked_config(spec.kind, spec.config),
        category=category,
    )


def checked_category(category: str) -> Category:
    """Return `category` when there is one of that name.

    Raises:
        InvalidRequest: there is not.
    """
    if category not in CATEGORIES:
        raise InvalidRequest(f"a tool's category is one of {', '.join(CATEGORIES)}")
    return category


def checked_config(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` as plain JSON data.

    Raises:
        InvalidRequest: it is no JSON, lacks what the kind of tool needs, or `raises` is not a list
            of `{when, tier}`.
    """
    plain = as_json(config, what="the configuration")
    if problem := violation({"type": "object", **_CONFIGS[kind]}, plain):
        raise InvalidRequest(f"the configuration of a tool of kind {kind} is wrong: {problem}")
    if not isinstance(plain.get("reads_secrets", False), bool):
        raise InvalidRequest("config.reads_secrets is true or false")
    if problem := violation(_ACTION, plain.get("action", "any")):
        raise InvalidRequest(f"config.action is a word such as data_deletion: {problem}")
    rules = plain.get("raises", [])
    if not isinstance(rules, list):
        raise InvalidRequest("config.raises must be a list of {when, tier}")
    for rule in cast("list[Any]", rules):
        if problem := violation(_RAISE, rule):
            raise InvalidRequest(f"an entry of config.raises is wrong: {problem}")
        checked_schema(rule["when"], what="config.raises.when")
    return plain


def reconfigured(spec: ToolSpec, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what replaces a version's configuration: what makes it what it does stays.

    Raises:
        InvalidRequest: `config` would change that.
    """
    fixed = {key: spec.config[key] for key in _FIXED[spec.kind] if key in spec.config}
    for key in _FIXED[spec.kind]:
        if key in config and (key not in fixed or config[key] != fixed[key]):
            raise InvalidRequest(
                f"config.{key} of {spec.name} {spec.version} is part of what it does",
                "Register a new version.",
            )
    return {**config, **fixed}


def checked_conditions(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a grant as plain JSON data.

    Raises:
        InvalidRequest: an unknown condition, or one of the wrong shape.
    """
    if unknown := sorted(set(conditions) - _CONDITIONS):
        known = ", ".join(sorted(_CONDITIONS))
        raise InvalidRequest(f"a grant knows the conditions {known}; not {unknown[0]}")
    plain = as_json(conditions, what="the conditions")
    checked_schema(plain.get("arguments", {}), what="the condition on the arguments")
    if not isinstance(plain.get("versions", []), list):
        raise InvalidRequest("the condition `versions` is a list of versions")
    if not isinstance(plain.get("stateful", False), bool):
        raise InvalidRequest("the condition `stateful` is true or false")
    return plain
