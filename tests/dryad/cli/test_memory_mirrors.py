"""Looking after mirrors from the command line, when one of them is away."""

from pathlib import Path

import pytest

from dryad.adapters import choose_adapters
from tests.dryad.api.conftest import serving
from tests.dryad.cli.conftest import call
from tests.dryad.memory.mirrored import own_redis
from tests.servers import Killable

__all__ = ["own_redis"]


@pytest.fixture
def mirrors(own_redis: Killable, chroma_server: Killable) -> dict[str, str]:
    return {
        "DRYAD_REDIS_URL": f"redis://127.0.0.1:{own_redis.port}",
        "DRYAD_CHROMA": f"http://127.0.0.1:{chroma_server.port}",
        "DRYAD_EMBEDDER": "minilm",
    }


def test_one_that_is_away_keeps_no_other_from_being_compared(
    mirrors: dict[str, str], own_redis: Killable, tmp_path: Path
):
    ledger = f"sqlite:///{tmp_path / 'dryad.db'}"
    with serving(tmp_path / "home", ledger, **mirrors) as house:
        house.services.installation.choose_adapters(choose_adapters(house.settings))

        def check() -> tuple[int, str, str]:
            done = call(("memory", "check"), house.environ, tmp_path, "")
            return done.returncode, done.stdout, done.stderr

        status, shown, _ = check()
        assert (status, "redis" in shown, "chroma" in shown) == (0, True, True)
        own_redis.kill()
        status, shown, said = check()
        assert (status, "redis" in shown, "chroma" in shown) == (1, False, True)
        assert "Redis did not answer" in said
        assert house.services.index_copy is not None
        house.services.index_copy._index.drop_others(-1)
