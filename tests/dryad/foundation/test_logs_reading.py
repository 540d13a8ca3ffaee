"""Logs are read from their end, filtered, over rotated files, newest first."""

import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dryad.foundation import logs
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.logs import Filter, writer

START = datetime(2026, 1, 1, tzinfo=UTC)


class Ticking:
    """A clock that goes on one second with every look at it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@pytest.fixture
def directory(tmp_path: Path):
    logs.configure(tmp_path, component="tests", level="DEBUG", clock=Ticking())
    yield tmp_path
    writer._outlet.close()


def numbers(page: logs.Page) -> list[int]:
    return [entry["number"] for entry in page.entries]


def write_ten(directory: Path, *, rotate_every: int = 1000) -> None:
    """Ten lines, one a second from 00:00:01 on; every third is an access line."""
    for number in range(1, 11):
        with logs.bound(
            tenant="acme" if number % 2 else "globex", task=f"t{number}", trace=f"f{number % 5}"
        ):
            if number % 3 == 0:
                logs.get_logger("access").info(
                    "request", number=number, status=500 if number == 9 else 200
                )
            else:
                say = logs.get_logger("scribe" if number < 6 else "keeper")
                level = say.error if number == 7 else say.info
                level("noted", number=number, agent="a1", run="r1", duration_ms=number * 1000)
        if number % rotate_every == 0:
            logs.rotate(directory, max_bytes=1, keep=20)
            for file in writer._outlet.files.values():
                file._look_again = 0


@pytest.mark.parametrize("rotate_every", [1000, 3, 1])
def test_all_files_are_read_as_one_newest_first(directory: Path, rotate_every: int):
    write_ten(directory, rotate_every=rotate_every)
    page = logs.read(directory, Filter())
    assert numbers(page) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert page.complete
    assert page.hosts == [os.uname().nodename]


FILTERS = [
    (Filter(tenant="acme"), [9, 7, 5, 3, 1]),
    (Filter(task="t4"), [4]),
    (Filter(trace="f0"), [10, 5]),
    (Filter(agent="a1", component="scribe"), [5, 4, 2, 1]),
    (Filter(run="r1", component="keeper"), [10, 8, 7]),
    (Filter(event="request"), [9, 6, 3]),
    (Filter(level="ERROR"), [7]),
    (Filter(level="DEBUG", code=""), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    (Filter(statuses=frozenset({401, 403, 500})), [9]),
    (Filter(slower=timedelta(seconds=7)), [10, 8]),
    (Filter(since=START + timedelta(seconds=8)), [10, 9, 8]),
    (Filter(until=START + timedelta(seconds=3)), [2, 1]),
    (Filter(limit=2), [10, 9]),
    (Filter(tenant="nobody"), []),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERS)
def test_a_filter_finds_exactly_its_lines(directory: Path, wanted: Filter, expected: list[int]):
    write_ten(directory, rotate_every=4)
    assert numbers(logs.read(directory, wanted)) == expected


def test_the_next_page_begins_where_the_last_ended(directory: Path):
    write_ten(directory)
    first = logs.read(directory, Filter(limit=4))
    assert not first.complete
    oldest = datetime.fromisoformat(first.entries[-1]["timestamp"])
    assert numbers(logs.read(directory, Filter(limit=6, until=oldest))) == [6, 5, 4, 3, 2, 1]


def test_lines_are_counted_by_any_key(directory: Path):
    write_ten(directory)
    counts = logs.count_by(directory, Filter(limit=1), "component")
    assert counts.values == {"scribe": 4, "keeper": 3, "access": 3}
    assert next(iter(counts.values)) == "scribe"
    assert logs.count_by(directory, Filter(event="request"), "status").values == {
        "200": 2, "500": 1,
    }  # fmt: skip


def test_a_foreign_value_that_only_looks_like_a_filter_is_not_taken(directory: Path):
    logs.get_logger("scribe").info("noted", text='"tenant_id":"acme"', inner={"tenant_id": "acme"})
    assert logs.read(directory, Filter(tenant="acme")).entries == []


def test_torn_and_foreign_lines_are_passed_over(directory: Path):
    write_ten(directory)
    with (directory / "gremlins_app.log").open("ab") as file:
        file.write(b'{"timestamp":"2026-01-01T00:\n\nplain words\n[1]\n{"a":1}\n{"timest')
    assert numbers(logs.read(directory, Filter(limit=3))) == [10, 9, 8]


def test_a_clock_set_back_hides_nothing(directory: Path):
    ticking = Ticking()
    logs.configure(directory, component="t", clock=ticking)
    say = logs.get_logger("scribe").info
    say("noted", number=1)
    ticking.time -= timedelta(hours=1)
    say("noted", number=2)
    assert numbers(logs.read(directory, Filter(since=START))) == [1]


def test_a_search_has_an_end_and_says_so(directory: Path):
    write_ten(directory)
    size = (directory / "gremlins_app.log").stat().st_size
    page = logs.read(directory, Filter(tenant="nobody"), search_bytes=size // 2)
    assert not page.complete
    assert not logs.count_by(directory, Filter(), "event", search_bytes=size // 2).complete


def test_a_large_file_is_never_loaded_whole(directory: Path):
    say = logs.get_logger("scribe").info
    for number in range(2000):
        say("noted", number=number, padding="x" * 5000)
    assert (directory / "gremlins_app.log").stat().st_size > 10_000_000
    tracemalloc.start()
    page = logs.read(directory, Filter(limit=3))
    counted = logs.count_by(directory, Filter(), "event")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert numbers(page) == [1999, 1998, 1997]
    assert counted.values == {"noted": 2000}
    assert peak < 2_000_000


def test_no_file_stays_open(directory: Path):
    write_ten(directory, rotate_every=2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    logs.read(directory, Filter(limit=2))
    logs.count_by(directory, Filter(), "event")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_without_logs_has_no_lines(tmp_path: Path):
    assert logs.read(tmp_path / "nothing", Filter()).entries == []
    assert not (tmp_path / "nothing").exists()


def test_an_impossible_filter_is_refused(tmp_path: Path):
    for limit in (0, 1001):
        with pytest.raises(InvalidRequest, match="limit"):
            Filter(limit=limit)
    with pytest.raises(InvalidRequest, match="level"):
        Filter(level="LOUD")
    with pytest.raises(InvalidRequest, match="zone"):
        logs.read(tmp_path, Filter(since=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point
