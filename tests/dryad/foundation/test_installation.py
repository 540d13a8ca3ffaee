"""Every process of an installation reads the same facts."""

from concurrent.futures import ThreadPoolExecutor

from dryad.foundation.database import Database
from dryad.foundation.installation import Installation


def test_the_epoch_is_made_once_however_many_ask_at_once(database: Database):
    def epoch(_: int) -> str:
        return Installation(database).epoch()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(epoch, range(16)))) == 1


def test_the_latest_choice_of_adapters_is_obeyed(database: Database):
    installation = Installation(database)
    assert installation.adapters() == {}
    installation.choose_adapters({"sandbox": "bubblewrap"})
    installation.choose_adapters({"sandbox": "landlock"})
    assert Installation(database).adapters() == {"sandbox": "landlock"}
