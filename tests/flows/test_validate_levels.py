"""A validation as a flow: scored, shown, and failed by what does not hold."""

import pytest
from sqlalchemy import text

from dryad.bootstrap import Services
from dryad.foundation.provision import provision
from flows.validate_levels import ValidationForm, validate_levels
from tests.flows.test_back_up import table

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


async def test_each_level_is_scored_and_what_fails_is_named(installation: Services):
    provision(installation.database, installation.secrets)
    state = await validate_levels(ValidationForm(levels=[2, 0]), return_state=True)
    assert state.message == "level 0: 100 %, level 2: 100 %"
    with installation.database.transaction() as session:
        session.execute(text("DROP INDEX ix_tasks_tenant_created"))
    state = await validate_levels(ValidationForm(levels=[0]), return_state=True)
    assert (state.is_failed(), state.message) == (True, "level 0: 75 %")
    assert "dryad db upgrade" in await table("validation")
    state = await validate_levels(ValidationForm(levels=[9]), return_state=True)
    assert state.name == "Refused"
