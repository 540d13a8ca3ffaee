"""An operator sees the mirrors of memory, has one made anew, and has it compared."""

from collections.abc import Generator
from pathlib import Path

import pytest

from dryad.adapters import choose_adapters
from dryad.foundation import environment as reader
from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House, serving
from tests.servers import Killable

PATH = "/api/v1/memory/mirrors"


@pytest.fixture
def mirrored(tmp_path: Path, redis_server: Killable) -> Generator[House]:
    url = f"redis://127.0.0.1:{redis_server.port}"
    ledger = f"sqlite:///{tmp_path / 'dryad.db'}"
    with serving(tmp_path / "home", ledger, DRYAD_REDIS_URL=url) as house:
        house.services.installation.choose_adapters(choose_adapters(house.settings))
        yield house


def test_a_mirror_is_shown_compared_and_made_anew(mirrored: House):
    mirrored.services.archivist.remember(TenantId("acme"), "scout", "k", 1)
    with mirrored.client(mirrored.services.secrets.operator_key) as operator:
        (shown,) = operator.get(PATH).raise_for_status().json()["items"]
        assert (shown["server"], shown["waiting"]) == ("redis", 1)
        assert shown["trouble"]
        compared = operator.post(f"{PATH}/redis/check").raise_for_status().json()
        assert compared == {
            "server": "redis", "checked": 1, "missing": 0, "extra": 0, "stale": 0,
        }  # fmt: skip
        assert operator.get(PATH).json()["items"][0]["trouble"] == ""
        rebuilding = operator.post(f"{PATH}/redis/rebuild")
        assert rebuilding.status_code == 202
        assert rebuilding.json()["trouble"] == "another copy was asked for"
        for copy in mirrored.services.mirrors.values():
            copy.keep()
        (after,) = operator.get(PATH).json()["items"]
        assert after["trouble"] == ""
        assert after["generation"] > shown["generation"]
        assert operator.post(f"{PATH}/chroma/check").status_code == 404


def test_mirrors_are_the_operators_affair(mirrored: House):
    with mirrored.client(mirrored.key("acme")) as tenant:
        assert tenant.get(PATH).status_code == 403
        assert tenant.post(f"{PATH}/redis/rebuild").status_code == 403


def test_a_required_mirror_that_is_not_there_keeps_it_from_starting(tmp_path: Path):
    ledger = f"sqlite:///{tmp_path / 'dryad.db'}"
    away = {"DRYAD_REDIS_URL": "redis://127.0.0.1:1", "DRYAD_REQUIRE_SERVICES": "redis"}
    with serving(tmp_path / "home", ledger, **away) as house:
        with pytest.raises(Unavailable, match="Redis did not answer"):
            choose_adapters(house.settings)
        ignored, _ = reader.load({**house.environ, "REDIS_AVAILABLE": "false"}, directory=tmp_path)
        with pytest.raises(Unavailable, match="redis is required"):
            choose_adapters(ignored)
        unrequired = ignored.model_copy(update={"require_services": frozenset[str]()})
        assert choose_adapters(unrequired)["recent"] == "embedded"
