"""What processes find in their environment: the same settings, and nobody else's Prefect."""

import ssl
from contextlib import closing
from pathlib import Path

import pytest

from dryad.foundation.environment import load
from dryad.foundation.secrets import Secrets
from dryad.platform import environment
from dryad.platform.plan import Plan

GIVEN = {
    "DRYAD_API_PORT": "8123",
    "DATABASE_URL": "postgres://u:p@db.test/dryad",
    "SQLALCHEMY_POOL_SIZE": "07",
    "DRYAD_REQUIRE_SERVICES": "llm, postgres",
    "DRYAD_WORKER_POLL": "250ms",
    "DRYAD_QUESTION_DEADLINE": "7d",
    "DRYAD_MAX_COST_USD": "0.25",
    "DRYAD_REDIS_AVAILABLE": "no",
    "OPENAI_API_KEY": "sk-secret",
}


@pytest.mark.parametrize("given", [{}, GIVEN])
def test_a_process_reads_exactly_the_settings_of_its_installation(
    tmp_path: Path, given: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text("DRYAD_LOG_LEVEL=DEBUG\n")
    settings, _ = load(given, directory=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert load(environment.exported(settings), directory=elsewhere)[0] == settings


def test_keys_of_models_reach_only_who_carries_runs(tmp_path: Path) -> None:
    given = {"OPENAI_API_KEY": "sk-planted-1", "ANTHROPIC_API_KEY": "sk-planted-2"}
    settings, _ = load(given, directory=tmp_path)
    secrets = Secrets.create_or_read(settings.secrets_path)
    with closing(Plan(settings, secrets)) as plan:
        told = {
            command.name: str(command.environment)
            for command in (
                plan.server(), plan.api(), plan.keeper(), plan.worker(),
                plan.registration(reset_schedules=False), plan.chore("prepare"),
            )
        }  # fmt: skip
    assert [name for name, text in told.items() if "sk-planted" in text] == ["worker"]
    assert all(key in told["worker"] for key in given.values())


def test_another_installation_and_another_prefect_do_not_get_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = {"DRYAD_HOME": "/x", "PREFECT_API_URL": "http://cloud", "PREFECT_API_KEY": "k",
               "DATABASE_URL": "sqlite:///x", "KEPT": "1"}  # fmt: skip
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    assert {name for name in foreign if name in environment.inherited()} == {"KEPT"}


def test_the_server_is_closed_to_every_origin_but_its_own(tmp_path: Path) -> None:
    settings, _ = load({"DRYAD_PREFECT_PORT": "4321"}, directory=tmp_path)
    secrets = Secrets.create_or_read(settings.secrets_path)
    server = environment.prefect_server(settings, secrets)
    assert server["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",") == [
        "http://127.0.0.1:4321", "http://localhost:4321",
    ]  # fmt: skip
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == server["PREFECT_API_AUTH_STRING"]
    assert server["PREFECT_HOME"] == str(settings.home / "prefect")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u@h/p", "postgresql+asyncpg://u@h/p"),
        ("postgresql+psycopg://u@h/p", "postgresql+asyncpg://u@h/p"),
        ("sqlite+aiosqlite:////x.db", "sqlite+aiosqlite:////x.db"),
    ],
)
def test_the_server_reaches_postgresql_by_the_driver_it_has(
    tmp_path: Path, given: str, used: str
) -> None:
    settings, _ = load({"DRYAD_PREFECT_DATABASE_URL": given}, directory=tmp_path)
    secrets = Secrets.create_or_read(settings.secrets_path)
    server = environment.prefect_server(settings, secrets)
    assert server["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == used


def test_a_run_reads_the_authorities_of_the_world_only_where_tls_is_spoken() -> None:
    plain = environment.frugal("http://127.0.0.1:4200/api")
    trusted = ssl.create_default_context(cafile=plain["PREFECT_API_SSL_CERT_FILE"])
    assert trusted.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 0}
    assert "PREFECT_API_SSL_CERT_FILE" not in environment.frugal("https://prefect.test/api")
