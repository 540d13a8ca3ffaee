"""Every knob of an installation, once, with its bounds; `environment` reads them."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from dryad.foundation.setting_types import (
    Duration,
    Names,
    OptionalPath,
    OptionalSecret,
    OptionalText,
    Paths,
    names,
    setting,
)

Service = Literal[
    "postgres", "redis", "chroma", "docker", "bubblewrap", "embedder", "browser", "llm"
]
Provider = Literal["offline", "ollama", "openai", "anthropic"]


class Settings(BaseModel):
    """Read once, in bootstrap; services receive values, never `Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # where this installation lives
    home: Path = setting(Path(".dryad"), "Embedded stores, secrets and sockets live here")
    logs: OptionalPath = setting(None, "Log files; default `logs/` beside the home")
    secrets_dir: OptionalPath = setting(None, "Secrets; default `<home>/secrets`")
    audit_anchor: OptionalPath = setting(
        None, "Directory of the audit heads; default in the home, which is weak"
    )
    host: str = setting("127.0.0.1", "Address the API and the Prefect UI bind to")
    api_port: int = setting(8000, "Port of the DRYAD API", ge=1, le=65535)
    prefect_port: int = setting(4200, "Port of the Prefect UI and API", ge=1, le=65535)
    chroma_port: int = setting(8001, "Port of a managed Chroma server", ge=1, le=65535)
    api_url: OptionalText = setting(None, "DRYAD API the command line talks to; default this host")
    api_key: OptionalSecret = setting(
        None, "Key the command line shows; default the operator key in the home"
    )
    prefect_api_url: OptionalText = setting(
        None, "An existing Prefect server; default the one `dryad up` starts"
    )
    prefect_database_url: OptionalSecret = setting(
        None, "Database of the own Prefect server; default SQLite in the home"
    )
    require_services: Annotated[frozenset[Service], BeforeValidator(names)] = setting(
        frozenset(), "Never fall back for these, comma separated"
    )
    min_free_disk_bytes: int = setting(
        500_000_000, "`dryad up` refuses to start with less free disk", ge=0
    )
    stop_grace: Duration = setting(
        timedelta(seconds=30), "How long `dryad down` lets runs reach a safe point"
    )
    history_retention: Duration = setting(
        timedelta(days=30),
        "How long finished runs, their logs, artifacts and journal are kept",
        gt=timedelta(0),
    )
    worker_limit: int = setting(4, "Flow runs at once per worker", ge=1)
    worker_spares: int = setting(
        2, "Processes a worker keeps ready for the next runs; 0: every run imports for itself", ge=0
    )
    worker_forks: bool = setting(
        True,
        "Fork the processes kept ready, having imported once; false: start each, at ten times "
        "the processor time, as is done on other systems than Linux",
    )
    worker_poll: Duration = setting(
        timedelta(seconds=5), "How often a worker asks for work it was not told of"
    )
    run_memory_bytes: int = setting(
        2_000_000_000, "A run that uses more memory is ended, Crashed; 0: no limit", ge=0
    )

    # database
    database_url: OptionalSecret = setting(
        None, "SQLAlchemy URL; default SQLite in the home", runbook="DATABASE_URL"
    )
    pool_size: int = setting(
        20, "Database connections kept per process", runbook="SQLALCHEMY_POOL_SIZE", ge=1
    )
    pool_overflow: int = setting(
        40, "Connections above the pool under load", runbook="SQLALCHEMY_MAX_OVERFLOW", ge=0
    )
    database_timeout: Duration = setting(
        timedelta(seconds=15), "Longest wait for a connection or a lock"
    )

    # backups
    backup_targets: Annotated[tuple[str, ...], BeforeValidator(names)] = setting(
        (), "Directories or addresses (s3://…) of backup sets; default `backups/` beside the home"
    )
    backup_keep_days: int = setting(7, "Days of which a backup set is kept", ge=1)
    backup_keep_weeks: int = setting(4, "Weeks of which a backup set is kept", ge=0)
    backup_keep_months: int = setting(12, "Months of which a backup set is kept", ge=0)
    postgres_tools: OptionalPath = setting(
        None, "Directory of `pg_dump` and `pg_restore`; default PATH"
    )
    wal_archive: OptionalPath = setting(
        None, "Directory into which PostgreSQL archives its WAL; None: no restore to a moment"
    )
    moments_window: timedelta = setting(
        timedelta(days=7), "How far back every moment can be restored; older bases and WAL go",
        gt=timedelta(0),
    )  # fmt: skip

    # memory
    redis_url: OptionalSecret = setting(
        None, "None: the embedded short-term store", runbook="REDIS_URL"
    )
    redis_available: bool = setting(
        True, "False: ignore Redis even when its URL is set", runbook="REDIS_AVAILABLE"
    )
    chroma: str = setting(
        "embedded",
        "embedded | managed (started by `dryad up`) | the URL of a Chroma server",
        pattern=r"^(embedded|managed|https?://[^/].*)$",
    )
    mirror_timeout: Duration = setting(
        timedelta(milliseconds=500),
        "Longest wait for an answer of Redis; Chroma has ten times as long",
        gt=timedelta(0),
    )
    embedder: Literal["none", "minilm"] = setting(
        "none", "minilm: search by meaning as well as by words; needs the extra `embeddings`"
    )
    ingest_paths: Paths = setting(
        (), "Directories `ingest-documents` may read, comma separated; `inbox/` in the home always"
    )
    ingest_hosts: Names = setting(
        (), "Hosts `ingest-documents` may fetch from: `host`, `host:port`, `*.host`"
    )
    ingest_private_hosts: Names = setting((), "The same, for addresses of a private network")
    recent_retention: Duration = setting(
        timedelta(hours=24), "Default life of short-term memory", gt=timedelta(0)
    )

    # models
    llm_provider: Provider = setting(
        "offline", "First provider asked", runbook="PRIMARY_LLM_PROVIDER"
    )
    llm_fallbacks: Annotated[tuple[Provider, ...], BeforeValidator(names)] = setting(
        (), "Providers asked, in this order, when the first is down, too slow or busy"
    )
    llm_model: OptionalText = setting(None, "Model name; default the provider's usual one")
    llm_timeout: Duration = setting(timedelta(seconds=120), "Longest wait for one answer")
    llm_retries: int = setting(
        2, "How often a provider that is down is asked again before the next one is", ge=0, le=10
    )
    llm_price_usd_per_mtok: OptionalText = setting(
        None, "Price of an unlisted model: 'input,output' in USD per million tokens; '0,0' is free"
    )
    openai_base_url: OptionalText = setting(
        None, "Any OpenAI-compatible endpoint", runbook="OPENAI_BASE_URL"
    )
    openai_api_key: OptionalSecret = setting(None, "OpenAI key", runbook="OPENAI_API_KEY")
    anthropic_api_key: OptionalSecret = setting(None, "Anthropic key", runbook="ANTHROPIC_API_KEY")
    ollama_base_url: str = setting(
        "http://127.0.0.1:11434", "Ollama server", runbook="OLLAMA_BASE_URL"
    )
    critic: bool = setting(
        True, "Whether a language model reads, and may object to, what a task force found"
    )
    describe_notes: bool = setting(
        False, "Whether a language model describes notes that are kept for long; their tenant pays"
    )
    max_note_tokens: int = setting(8_000, "Tokens a model may use to describe one note", ge=100)

    max_body_bytes: int = setting(8_000_000, "Largest request body the API reads", ge=1_000)

    # limits of one task
    max_task_bytes: int = setting(100_000, "Longest task text, UTF-8 bytes", ge=1)
    max_context_bytes: int = setting(200_000, "Largest task context as JSON, bytes", ge=2)
    max_context_depth: int = setting(20, "Deepest nesting of a task context", ge=1)
    max_steps: int = setting(30, "Model and tool calls of one agent on one task", ge=1)
    max_plan_steps: int = setting(64, "Steps of one plan", ge=1, le=1_000)
    max_force_messages: int = setting(500, "Messages of one task force", ge=10)
    max_tokens: int = setting(200_000, "Tokens of one task, all agents", ge=1)
    max_cost_usd: float = setting(5.0, "Money of one task, all agents, USD", ge=0)
    max_run_time: Duration = setting(timedelta(minutes=30), "Longest working time of one task")
    reservation_lease: Duration = setting(
        timedelta(minutes=10),
        "What a step reserved of a budget and nobody settled is charged in full after this",
        gt=timedelta(0),
    )
    question_deadline: Duration = setting(
        timedelta(hours=24), "A question nobody answered is rejected after this"
    )
    approval_valid: Duration = setting(
        timedelta(hours=24), "An approval not used for so long is asked for again", gt=timedelta(0)
    )
    review_webhook: OptionalSecret = setting(
        None, "Address that is told (POST, JSON) when a task waits for a person; default nobody"
    )
    code_failures_free: int = setting(3, "Wrong codes of a reviewer in a row that are free", ge=1)
    code_wait: Duration = setting(
        timedelta(seconds=5), "What the next wrong code costs; each one after it twice as much"
    )
    code_wait_most: Duration = setting(timedelta(minutes=15), "Longest wait after a wrong code")
    code_failures_alarm: int = setting(5, "Wrong codes in a row that raise an alarm", ge=1)

    # sandbox
    sandbox: Literal["auto", "docker", "bubblewrap", "namespaces", "landlock"] = setting(
        "auto", "The rung to use; auto takes the strongest that works"
    )
    sandbox_time: Duration = setting(timedelta(seconds=30), "Wall time of one sandboxed run")
    sandbox_cpu_time: Duration = setting(
        timedelta(seconds=30), "CPU time of one sandboxed run, all its processes together"
    )
    sandbox_memory_bytes: int = setting(512_000_000, "Memory of one sandboxed run", ge=32_000_000)
    sandbox_processes: int = setting(64, "Processes and threads of one sandboxed run", ge=1)
    sandbox_open_files: int = setting(256, "Open files of each process of it", ge=16)
    sandbox_disk_bytes: int = setting(100_000_000, "What one sandboxed run may write", ge=4_096)
    sandbox_disk_files: int = setting(4_000, "Files and folders it may make", ge=1)
    sandbox_output_bytes: int = setting(
        200_000, "Kept of what it prints, and again of its errors; the middle is cut out", ge=1_000
    )
    sandbox_returned_files: int = setting(100, "Files it gives back", ge=1)
    sandbox_returned_bytes: int = setting(20_000_000, "Size of all files it gives back", ge=1)

    volume_bytes: int = setting(20_000_000, "Most a stateful tool keeps in a session", ge=0)
    volume_grace: Duration = setting(timedelta(hours=1), "How long it is kept after its task")

    # logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = setting(
        "INFO", "Least level written", runbook="LOG_LEVEL"
    )
    log_rotate_bytes: int = setting(50_000_000, "A log file is rotated at this size", ge=10_000)
    log_keep: int = setting(10, "Rotated files kept per log", ge=1)

    # leases
    lease: Duration = setting(
        timedelta(seconds=30), "A run that does not renew its lease for this long is taken over"
    )
    crash_quiet: Duration = setting(
        timedelta(seconds=10), "Wait between marking a run crashed and starting it again"
    )
    run_begins_within: Duration = setting(
        timedelta(minutes=5),
        "A run that is Pending or Running for this long with no process is marked crashed",
        gt=timedelta(0),
    )
    max_attempts: int = setting(5, "Processes one run may lose before its task fails", ge=1)

    @model_validator(mode="after")
    def _absolute(self) -> "Settings":
        """Resolve every path once, so that a process may change its directory."""
        home = self.home.expanduser().resolve()
        logs = (self.logs or home.parent / "logs").expanduser().resolve()
        resolved = {
            "home": home,
            "logs": logs,
            "secrets_dir": (self.secrets_dir or home / "secrets").expanduser().resolve(),
            "backup_targets": self.backup_targets or (str(home.parent / "backups"),),
            "audit_anchor": (self.audit_anchor or home / "audit-heads").expanduser().resolve(),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def logs_dir(self) -> Path:
        """Where the three log files are."""
        return cast("Path", self.logs)

    @property
    def secrets_path(self) -> Path:
        """Where the secrets of the installation are."""
        return cast("Path", self.secrets_dir)

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the DRYAD database, with its password."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'dryad.db'}"
        url = self.database_url.get_secret_value()
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)

    @property
    def redis_in_force(self) -> str | None:
        """Address of the mirror of short-term memory, with its password; None: there is none."""
        if self.redis_url is None or not self.redis_available:
            return None
        return self.redis_url.get_secret_value()

    @property
    def chroma_url(self) -> str | None:
        """Address of the mirror of long-term memory; None: there is none."""
        if self.chroma == "managed":
            return f"http://127.0.0.1:{self.chroma_port}"
        return None if self.chroma == "embedded" else self.chroma

    @property
    def prefect_database(self) -> str | None:
        """SQLAlchemy URL of the own Prefect server's database; None: the server is not ours."""
        if self.prefect_api_url is not None:
            return None
        if self.prefect_database_url is None:
            return f"sqlite+aiosqlite:///{self.home / 'prefect' / 'prefect.db'}"
        url = self.prefect_database_url.get_secret_value()
        return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+asyncpg://", url)

    @property
    def prefect_url(self) -> str:
        """API URL of the Prefect server in force."""
        return self.prefect_api_url or f"http://{_reachable(self.host)}:{self.prefect_port}/api"

    @property
    def dryad_url(self) -> str:
        """Base URL of the DRYAD API in force."""
        return self.api_url or f"http://{_reachable(self.host)}:{self.api_port}"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound
