"""Where the text of a tenant may go is said by its policy."""

from dataclasses import replace
from typing import Any

import pytest

from dryad.execution.models.providers import OFFLINE, Models
from dryad.foundation.errors import Refused
from tests.dryad.execution.test_models import AGENT, choice


def test_the_policy_of_a_tenant_says_where_its_text_may_go():
    def models(*providers: str, fallbacks: tuple[Any, ...] = ()) -> Models:
        chosen = choice("http://127.0.0.1:1", fallbacks=fallbacks)
        return Models(chosen, allowed=lambda tenant: providers if tenant == "acme" else None)

    assert models("openai").model_for("acme").model_name == "test-model"
    with pytest.raises(Refused, match="policy of acme does not let text go to openai"):
        models("ollama").model_for("acme")
    assert models("ollama").model_for("globex").model_name == "test-model"
    passed_over = models("ollama", fallbacks=("ollama", "offline")).model_for("acme")
    assert "openai" not in repr(passed_over.wrapped) + passed_over.model_name
    assert models(fallbacks=("offline",)).model_for("acme").degraded == OFFLINE
    with pytest.raises(Refused, match="does not let text go to openai"):
        models("ollama", fallbacks=("ollama",)).model_for(
            "acme", replace(AGENT, model={"provider": "openai"})
        )
