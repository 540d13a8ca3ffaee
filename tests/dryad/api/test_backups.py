"""An operator sees every backup set, and what is wrong with one; nobody else does."""

from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pyotp.totp import TOTP

from dryad.foundation.errors import Refused
from dryad.operations.backups.making import Purpose
from dryad.orchestration.review.reviewers import Claim
from tests.dryad.api.conftest import House, serving

PATH = "/api/v1/backups"


@pytest.fixture
def kept(tmp_path: Path) -> Generator[House]:
    """An installation on SQLite whose Prefect server is another's: there is none to keep."""
    ledger = f"sqlite:///{tmp_path / 'dryad.db'}"
    elsewhere = {"DRYAD_PREFECT_API_URL": "http://127.0.0.1:9/api"}
    with serving(tmp_path / "home", ledger, **elsewhere) as house:
        yield house


def test_an_operator_sees_sets_and_what_is_wrong_with_them(kept: House, tmp_path: Path):
    purpose = Purpose(critical=True, reason="before the upgrade")
    made = kept.services.backups.create(purpose).manifest
    with kept.client(kept.services.secrets.operator_key) as operator:
        (listed,) = operator.get(PATH).raise_for_status().json()["items"]
        assert (listed["id"], listed["state"], listed["kind"]) == (
            made.id,
            "unverified",
            "on-demand",
        )
        assert (listed["critical"], listed["reason"]) == (True, "before the upgrade")
        assert operator.get(f"{PATH}/newest").json() == listed
        assert operator.get(f"{PATH}/2001").status_code == 404
        manifest = tmp_path / "backups" / made.id / "manifest.json"
        manifest.write_text(manifest.read_text().replace("before the upgrade", "after"))
        (listed,) = operator.get(PATH).json()["items"]
        assert (listed["state"], "was changed" in listed["why"]) == ("bad", True)


def test_sets_are_the_operators_affair(kept: House):
    with kept.client(kept.key("acme")) as tenant:
        assert tenant.get(PATH).status_code == 403
        assert tenant.get(f"{PATH}/newest").status_code == 403


def test_a_reviewer_gets_a_code_for_one_run_and_one_set(kept: House):
    made = "20251013-020000-1f3c"
    enrolled = kept.services.reviewers.add("ada", by="test")
    seed = parse_qs(urlsplit(enrolled.uri).query)["secret"][0]
    body = {"run": "run-1", "approver": "ada", "code": TOTP(seed).now()}
    path = f"{PATH}/{made}/consent"
    with kept.client(kept.key("acme", "tasks:read")) as plain:
        assert plain.post(path, json=body).status_code == 403, "it needs the right to review"
    with kept.client(kept.services.secrets.operator_key) as operator:
        assert operator.post(path, json={**body, "code": "000000"}).status_code == 403
        code = operator.post(path, json=body).raise_for_status().json()["code"]
        assert operator.post(path, json=body).status_code == 403, "a one-time code is good once"
    consents = kept.services.consents
    assert consents.give("run-1", made, Claim("ada", code)) == "ada"
    with pytest.raises(Refused):
        consents.give("run-2", made, Claim("ada", code))
