"""Correct a tenant's scores by its own labelled decisions: a new version of its policy.

Being part of the policy, a correction is versioned, audited, shown by `diff`, and taken back like
any other change of it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.policies import Policies, Policy, PolicyDocument
from dryad.orchestration.calibration import Refitted, refit
from dryad.orchestration.complexity import log_odds
from dryad.orchestration.decisions import Decisions
from dryad.orchestration.tasks import Tasks

FIELDS = ("score_slope", "score_offset", "task_force_above")
"""What a recalibration changes in a policy."""


@dataclass(frozen=True)
class Label:
    """Whether a request really took several steps: one decided on, or one given as text."""

    several: bool
    decision: str = ""
    text: str = ""


@dataclass(frozen=True)
class Recalibrated:
    """What the labels said, and the policy now in force."""

    fitted: Refitted
    policy: Policy

    def to_json(self) -> dict[str, Any]:
        """Return figures and version for people and programs."""
        figures = asdict(self.fitted)
        return {**figures, **figures.pop("recalibration"), "policy_version": self.policy.version}


class Recalibrations:
    """Refits and takes back what a tenant's labels say."""

    def __init__(self, decisions: Decisions, tasks: Tasks, policies: Policies) -> None:
        self._decisions = decisions
        self._tasks = tasks
        self._policies = policies

    def refit(
        self, tenant: TenantId, labels: Sequence[Label], *, author: str, apply: bool = True
    ) -> Recalibrated:
        """Fit to labels, and put the correction in force unless `apply` is false.

        Raises:
            InvalidRequest: too few labels, or one that names neither a decision nor a text.
            NotFound: a label names a decision the tenant does not have.
        """
        odds = [log_odds(self._text(tenant, label)) for label in labels]
        fitted = refit(odds, [label.several for label in labels])
        policy = self._policies.current(tenant)
        if apply:
            changed = {
                "score_slope": fitted.recalibration.slope,
                "score_offset": fitted.recalibration.offset,
                "task_force_above": min(fitted.threshold, policy.escalate_above),
            }
            policy = self._policies.set(tenant, _document(policy) | changed, author=author)
        return Recalibrated(fitted, policy)

    def undo(self, tenant: TenantId, *, author: str) -> Policy:
        """Put the correction before the present one in force again; the rest stays as it is.

        Raises:
            NotFound: there was never another.
        """
        versions = self._policies.list(tenant)
        now = versions[0]
        for earlier in versions[1:]:
            before = {name: getattr(earlier, name) for name in FIELDS}
            if before != {name: getattr(now, name) for name in FIELDS}:
                return self._policies.set(tenant, _document(now) | before, author=author)
        raise NotFound("there is no earlier calibration", "`dryad policies show --all` lists them.")

    def _text(self, tenant: TenantId, label: Label) -> str:
        if bool(label.text) == bool(label.decision):
            raise InvalidRequest("a label names a decision or a text, one of them")
        if label.text:
            return label.text
        task = self._decisions.get(tenant, label.decision)["task"]
        return self._tasks.get(tenant, TaskId(task)).text


def _document(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(mode="json", include=set(PolicyDocument.model_fields))
