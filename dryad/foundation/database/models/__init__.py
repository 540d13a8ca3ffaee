"""Every table of the ledger, a file a level. What a column means is said there and nowhere else.

Times are aware UTC. JSON columns hold only what `canonical_json` can write. A change here needs a
migration; `dryad db check` and a test compare the two.
"""

from dryad.foundation.database.models.columns import Base
from dryad.foundation.database.models.execution import AgentRow
from dryad.foundation.database.models.foundation import (
    CATEGORIES,
    ApiKeyRow,
    AuditRow,
    BudgetRow,
    ExecutionRow,
    GrantRow,
    HealthRow,
    InstallationRow,
    LeaseRow,
    PolicyRow,
    ReservationRow,
    StepRow,
    StopRow,
    TenantRow,
    ToolRow,
    VolumeRow,
)
from dryad.foundation.database.models.memory import (
    BandRow,
    DocumentRow,
    MemoryPolicyRow,
    MirrorRow,
    OutboxRow,
    PassageRow,
    RecentRow,
    RelationRow,
    ShelfRow,
)
from dryad.foundation.database.models.orchestration import (
    TASK_STATUSES,
    CaseMessageRow,
    CaseRow,
    DecisionRow,
    ForceMemberRow,
    ForceMessageRow,
    ForceRow,
    ReviewerRow,
    TaskRow,
    VoteRow,
)

__all__ = [
    "CATEGORIES",
    "TASK_STATUSES",
    "AgentRow",
    "ApiKeyRow",
    "AuditRow",
    "BandRow",
    "Base",
    "BudgetRow",
    "CaseMessageRow",
    "CaseRow",
    "DecisionRow",
    "DocumentRow",
    "ExecutionRow",
    "ForceMemberRow",
    "ForceMessageRow",
    "ForceRow",
    "GrantRow",
    "HealthRow",
    "InstallationRow",
    "LeaseRow",
    "MemoryPolicyRow",
    "MirrorRow",
    "OutboxRow",
    "PassageRow",
    "PolicyRow",
    "RecentRow",
    "RelationRow",
    "ReservationRow",
    "ReviewerRow",
    "ShelfRow",
    "StepRow",
    "StopRow",
    "TaskRow",
    "TenantRow",
    "ToolRow",
    "VolumeRow",
    "VoteRow",
]
