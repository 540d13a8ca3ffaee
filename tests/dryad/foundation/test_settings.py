"""Settings come from one place, by names that are known, and show where they came from."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dryad.foundation.environment import load
from dryad.foundation.errors import InvalidRequest
from dryad.foundation.settings import Settings
from dryad.foundation.settings_text import shown


def settings(directory: Path, **environ: str) -> Settings:
    return load(environ, directory=directory)[0]


def test_without_an_environment_everything_is_beside_the_working_directory(tmp_path: Path):
    found = settings(tmp_path)
    assert found.home == tmp_path / ".dryad"
    assert found.logs_dir == tmp_path / "logs"
    assert found.secrets_path == tmp_path / ".dryad" / "secrets"
    assert found.database == f"sqlite:///{tmp_path}/.dryad/dryad.db"
    assert (found.dryad_url, found.prefect_url) == (
        "http://127.0.0.1:8000",
        "http://127.0.0.1:4200/api",
    )


def test_the_nearest_home_upward_is_found(tmp_path: Path):
    (tmp_path / ".dryad").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert settings(below).home == tmp_path / ".dryad"
    (tmp_path / "a" / ".dryad").mkdir()
    assert settings(below).home == tmp_path / "a" / ".dryad"
    assert settings(below, DRYAD_HOME="/srv/dryad").home == Path("/srv/dryad")
    assert settings(below, DRYAD_HOME="/srv/dryad").logs_dir == Path("/srv/logs")


def test_every_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = settings(tmp_path, DRYAD_HOME="here", DRYAD_LOGS="../logs", DRYAD_AUDIT_ANCHOR="~/h")
    assert found.home == tmp_path / "here"
    assert found.logs_dir == tmp_path.parent / "logs"
    assert found.audit_anchor == Path.home() / "h"


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path):
    (tmp_path / ".env").write_text("DRYAD_API_PORT=9001\nDRYAD_LOG_KEEP=3\nOTHER=x\n")
    found, origins = load({"DRYAD_API_PORT": "9002"}, directory=tmp_path)
    by_name = {origin.name: origin.origin for origin in origins}
    assert (found.api_port, found.log_keep, found.worker_limit) == (9002, 3, 4)
    assert by_name["api_port"] == "DRYAD_API_PORT"
    assert by_name["log_keep"] == "DRYAD_LOG_KEEP (.env)"
    assert by_name["worker_limit"] == "default"


RUNBOOK = {
    "DATABASE_URL": ("postgres://u:p@db/dryad", "database", "postgresql+psycopg://u:p@db/dryad"),
    "SQLALCHEMY_POOL_SIZE": ("7", "pool_size", 7),
    "SQLALCHEMY_MAX_OVERFLOW": ("9", "pool_overflow", 9),
    "REDIS_AVAILABLE": ("false", "redis_available", False),
    "PRIMARY_LLM_PROVIDER": ("ollama", "llm_provider", "ollama"),
    "LOG_LEVEL": ("ERROR", "log_level", "ERROR"),
}


@pytest.mark.parametrize("name", RUNBOOK)
def test_the_names_of_the_runbook_work(tmp_path: Path, name: str):
    text, attribute, value = RUNBOOK[name]
    assert getattr(settings(tmp_path, **{name: text}), attribute) == value


def test_two_names_at_odds_are_refused_and_alike_are_not(tmp_path: Path):
    with pytest.raises(InvalidRequest, match="DRYAD_POOL_SIZE and SQLALCHEMY_POOL_SIZE"):
        settings(tmp_path, DRYAD_POOL_SIZE="5", SQLALCHEMY_POOL_SIZE="6")
    assert settings(tmp_path, DRYAD_POOL_SIZE="5", SQLALCHEMY_POOL_SIZE="5").pool_size == 5


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_an_unknown_name_is_refused_with_the_one_that_was_meant(tmp_path: Path, place: str):
    environ = {"DRYAD_POOLSIZE": "5"}
    if place == ".env":
        (tmp_path / ".env").write_text("DRYAD_POOLSIZE=5")
        environ = {}
    with pytest.raises(InvalidRequest, match=place) as refusal:
        load(environ, directory=tmp_path)
    assert refusal.value.next_step == "Did you mean DRYAD_POOL_SIZE?"


def test_names_of_benchmarks_and_tests_are_left_alone(tmp_path: Path):
    found = settings(tmp_path, DRYAD_BENCH_ROWS="1", DRYAD_TEST="1")
    assert found == settings(tmp_path)
    with pytest.raises(InvalidRequest):
        settings(tmp_path, DRYAD_TESTING="1")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("30s", timedelta(seconds=30)),
        ("1.5 m", timedelta(seconds=90)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("PT2H", timedelta(hours=2)),
    ],
)
def test_durations_are_written_with_their_unit(tmp_path: Path, text: str, duration: timedelta):
    assert settings(tmp_path, DRYAD_RECENT_RETENTION=text).recent_retention == duration


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRYAD_RECENT_RETENTION", "soon"),
        ("DRYAD_RECENT_RETENTION", "0s"),
        ("DRYAD_API_PORT", "70000"),
        ("DRYAD_REQUIRE_SERVICES", "postgres,oracle"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_the_name_it_came_by(
    tmp_path: Path, name: str, value: str
):
    with pytest.raises(InvalidRequest, match=f"^{name}: "):
        settings(tmp_path, **{name: value})


def test_a_refusal_shows_no_secret(tmp_path: Path):
    with pytest.raises(InvalidRequest) as refusal:
        settings(tmp_path, DRYAD_POOL_SIZE="hunter2", DRYAD_API_PORT="0")
    assert "hunter2" not in str(refusal.value)


def test_a_blank_value_is_no_value(tmp_path: Path):
    blank = {"DRYAD_LOGS": "", "DRYAD_REDIS_URL": "", "DRYAD_LLM_MODEL": "", "DRYAD_API_KEY": ""}
    found = settings(tmp_path, **blank)
    assert found == settings(tmp_path)
    assert found.logs_dir == tmp_path / "logs"


def test_lists_are_separated_by_commas(tmp_path: Path):
    found = settings(tmp_path, DRYAD_REQUIRE_SERVICES=" postgres, llm ,")
    assert found.require_services == {"postgres", "llm"}


def test_settings_do_not_change_after_they_are_read(tmp_path: Path):
    with pytest.raises(ValidationError):
        settings(tmp_path).api_port = 1


def test_what_is_shown_says_everything_but_the_secrets(tmp_path: Path):
    secrets = {
        "DATABASE_URL": "postgresql://dryad:hunter2@db:5432/dryad?password=hunter2",
        "DRYAD_REDIS_URL": "redis://:hunter2@cache:6379/0",
        "OPENAI_API_KEY": "hunter2",
        "DRYAD_API_KEY": "dk_live_hunter2",
    }
    rows = {row.name: row for row in shown(load(secrets, directory=tmp_path)[1])}
    assert "hunter2" not in str(rows)
    assert rows["DRYAD_DATABASE_URL"].value == "postgresql://dryad:********@db:5432/dryad"
    assert rows["DRYAD_DATABASE_URL"].origin == "DATABASE_URL"
    assert rows["DRYAD_REDIS_URL"].value == "redis://:********@cache:6379/0"
    assert rows["DRYAD_OPENAI_API_KEY"].value == "********"
    assert rows["DRYAD_ANTHROPIC_API_KEY"].value == ""
    assert len(rows) == len(Settings.model_fields)
    assert all(row.description for row in rows.values())


def test_what_is_shown_can_be_set_again(tmp_path: Path):
    given = {
        "DRYAD_LEASE": "90s",
        "DRYAD_REQUIRE_SERVICES": "redis,llm",
        "DRYAD_MAX_RUN_TIME": "2h",
    }
    found, origins = load(given, directory=tmp_path)
    again = {row.name: row.value for row in shown(origins)}
    assert settings(tmp_path / "elsewhere", **again) == found
    assert (again["DRYAD_LEASE"], again["DRYAD_MAX_RUN_TIME"]) == ("90s", "2h")
    assert again["DRYAD_LLM_TIMEOUT"] == "2m"
    assert again["DRYAD_REDIS_AVAILABLE"] == "true"
