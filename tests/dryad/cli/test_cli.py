"""The command line: data on stdout, talk on stderr, one line and a next step on failure."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dryad.cli.main import COMMANDS, load
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.tools import ToolSpec
from dryad.orchestration.tasks import End
from tests.dryad.api.conftest import House
from tests.dryad.cli.conftest import Dryad
from tests.servers import wait_for


def data(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def process(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `dryad` in a process of its own."""
    environ = {**os.environ, "DRYAD_HOME": str(home), "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "dryad", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=home, env=environ, check=False
    )


def fails(done: subprocess.CompletedProcess[str], status: int, *says: str) -> None:
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout == ""
    error, step = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert step.startswith("  → ")
    for text in says:
        assert text in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_is_for(name: str):
    assert load(name).help.splitlines()[0] == COMMANDS[name][1]


def test_help_names_every_command():
    help_ = [sys.executable, "-m", "dryad", "--help"]
    done = subprocess.run(help_, capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert re.search(rf"^ +{name} ", done.stdout, re.MULTILINE), name


def test_the_exit_status_and_the_streams_are_those_of_the_process(tmp_path: Path):
    fails(process("tasks", home=tmp_path), 1, "there is no installation")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from dryad.cli.main import root; root();"
        "print([m for m in ('pydantic', 'httpx', 'sqlalchemy', 'numpy', 'prefect', 'rich')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_typing_mistake_is_a_usage_error(lonely: Dryad):
    done = lonely("taks")
    assert done.returncode == 2
    assert "tasks" in done.stderr
    assert lonely("tasks", "list", "--limit", "0").returncode == 2


def test_without_an_installation_it_says_how_to_get_one(lonely: Dryad):
    fails(lonely("tasks"), 1, "there is no installation", "dryad up")
    fails(lonely("audit", "verify"), 1, "dryad up")


def test_without_the_api_it_says_how_to_start_it(lonely: Dryad):
    key = f"dk_live_{'0' * 16}_{'0' * 64}"
    fails(lonely("tasks", DRYAD_API_KEY=key), 1, "http://127.0.0.1:9", "dryad up")
    fails(lonely("config", "check", DRYAD_NONSENSE="1"), 2, "DRYAD_NONSENSE")


def test_a_task_is_submitted_listed_shown_and_cancelled(dryad: Dryad):
    done = dryad("run", "-", "--context", '{"a": 1}', "--key", "k", stdin="Sum it up\x1b[2J")
    assert done.returncode == 0, done.stderr
    task = done.stdout.strip()
    assert f"dryad tasks show {task}" in done.stderr
    again = data(dryad("run", "Sum it up\x1b[2J", "--context", '{"a": 1}', "--key", "k", "--json"))
    assert again["id"] == task
    listed = dryad("tasks")
    assert task in listed.stdout
    assert "\x1b" not in listed.stdout  # nothing a requester wrote steers the terminal
    assert data(dryad("tasks", "--json", "--status", "done")) == []
    shown = dryad("tasks", "show", task)
    assert re.search(r"^status +submitted$", shown.stdout, re.MULTILINE)
    cancelled = dryad("tasks", "cancel", task, "--reason", "enough")
    assert (cancelled.returncode, cancelled.stdout) == (0, "")
    waited = dryad("run", "Sum it up\x1b[2J", "--context", '{"a": 1}', "--key", "k", "--wait")
    assert waited.returncode == 1
    assert "ended cancelled: enough" in waited.stderr


def test_waiting_prints_the_answer_and_its_sources(dryad: Dryad, installation: House):
    tasks = installation.services.tasks
    task = TaskId(dryad("run", "What?", "--key", "k").stdout.strip())
    tasks.set_status(task, "running")
    source = {"title": "Towels", "origin": "guide.md", "start": 3, "stop": 9}
    source["provenance"] = "untrusted"
    result = {"answer": "42 [1]", "citations": [source], "degraded": "no model"}
    tasks.finish(task, "done", result=result)
    done = dryad("run", "What?", "--key", "k", "--wait")
    printed = "42 [1]\n\n[1] Towels, guide.md, characters 3 to 9 (untrusted)\n"
    assert (done.returncode, done.stdout) == (0, printed)
    assert "degraded: no model" in done.stderr
    shown = dryad("tasks", "show", task).stdout
    assert shown.endswith(printed)
    assert re.search(r"^created +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$", shown, re.MULTILINE)


def test_a_probe_ends_as_its_task_ended(dryad: Dryad, installation: House):
    tasks, tenant = installation.services.tasks, TenantId("default")
    installation.services.provide_tenant(tenant)

    def end(status: End, reason: str) -> None:
        wait_for("the probe", lambda: bool(tasks.list(tenant, status="submitted")))
        (task,) = tasks.list(tenant, status="submitted")
        assert task.agent == "researcher"
        tasks.set_status(task.id, "running")
        tasks.finish(task.id, status, reason=reason, result={"answer": "I am ready."})

    with ThreadPoolExecutor(1) as other:
        for status, exit_status in (("done", 0), ("failed", 1)):
            ended = other.submit(end, status, "the model is down")
            done = dryad("agents", "probe", "researcher", "--json")
            ended.result()
            assert (done.returncode, json.loads(done.stdout)["probe"]) == (exit_status, status)


def test_errors_of_the_api_arrive_with_their_next_step(dryad: Dryad):
    fails(dryad("run", "  "), 2, "the task text is empty", "Say in a sentence")
    fails(dryad("run", "a", "--context", "[1]"), 2, "JSON object")
    fails(dryad("tasks", "show", "task_0"), 1, "there is no task", "dryad tasks list")
    fails(dryad("tasks", "--tenant", "nobody", "--before", "x"), 1, "there is no task")
    fails(dryad("answer", "1", "--approve", "--reject", "--reason", "a"), 2, "exactly one")
    fails(dryad("answer", "1", "--approve"), 2, "--reason")
    fails(dryad("answer", "1", "--approve", "--reason", "a"), 1, "#1")


def test_keys_and_tenants_are_made_and_used(dryad: Dryad):
    assert dryad("tenants", "create", "acme").returncode == 2  # it is there
    made = dryad("tenants", "create", "new", "--name", "New")
    assert "dryad keys create" in made.stderr
    key = dryad("keys", "create", "ci", "--tenant", "new", "--scopes", "tasks:read").stdout.strip()
    assert key.startswith("dk_live_")
    fails(dryad("run", "a", DRYAD_API_KEY=key), 1, "tasks:write")
    assert data(dryad("tasks", "--json", DRYAD_API_KEY=key)) == []
    ident = key.split("_")[2]
    assert dryad("keys", "revoke", ident, "--tenant", "new").returncode == 0
    fails(dryad("tasks", DRYAD_API_KEY=key), 1, "revoked")
    fails(dryad("tasks", "--tenant", "acme", DRYAD_API_KEY="dk_live_0"), 1, "no valid key")


def test_files_are_read_into_memory_and_found_again(dryad: Dryad, tmp_path: Path):
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "retention.md").write_text("# Retention\n\nInvoices are kept for eleven years.\n")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    done = dryad("memory", "ingest", str(folder), "--json")
    outcomes = {row["path"]: row["outcome"] for row in data(done)}
    assert outcomes == {"logo.png": "skipped", "retention.md": "shelved"}
    found = dryad("memory", "search", "how long are invoices kept")
    assert "eleven years" in found.stdout
    assert "handbook/retention.md" in found.stdout
    assert "untrusted · bm25" in found.stdout
    assert found.stderr == "found by words\n"
    fails(dryad("memory", "ingest", str(tmp_path / "nowhere")), 1, "nowhere")
    fails(dryad("memory", "ingest", "https://docs.test/a"), 2, "DRYAD_INGEST_HOSTS")


def test_short_term_memory_is_shown_and_forgotten(dryad: Dryad, installation: House):
    archivist = installation.services.archivist
    archivist.remember(TenantId("default"), "scout", "door/2", "The door is shut.")
    archivist.remember(TenantId("default"), "other", "lamp", {"on": True})
    shown = dryad("memory", "values").stdout
    assert [line.split()[:2] for line in shown.splitlines()[1:]] == [
        ["other", "lamp"],
        ["scout", "door/2"],
    ]
    (value,) = data(dryad("memory", "values", "scout", "--pattern", "d*", "--json"))
    assert (value["value"], value["provenance"]) == ("The door is shut.", "untrusted")
    assert dryad("memory", "forget", "--value", "scout/door/2").returncode == 0
    fails(dryad("memory", "forget", "--value", "scout/door/2"), 1, "nothing under")
    fails(dryad("memory", "forget", "--value", "lamp"), 2, "AGENT/KEY")
    assert [one["key"] for one in data(dryad("memory", "values", "--json"))] == ["lamp"]


def test_audit_and_database_and_config_work_without_the_api(
    installation: House, dryad: Dryad, tmp_path: Path
):
    dryad("run", "a")
    port = {"DRYAD_API_PORT": "9"}
    assert dryad("audit", "verify", **port).returncode == 0
    rows = [json.loads(line) for line in dryad("audit", "export", **port).stdout.splitlines()]
    assert rows[0]["event"] == "task_submitted"
    with sqlite3.connect(tmp_path / "dryad.db") as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 1")
    database.close()
    broken = dryad("audit", "verify", "--json", **port)
    assert broken.returncode == 1
    assert [row["first_bad"] for row in json.loads(broken.stdout) if not row["intact"]] == [1]
    shown = dryad("config", DRYAD_OPENAI_API_KEY="sk-very-secret", LOG_LEVEL="DEBUG", **port)
    assert "sk-very-secret" not in shown.stdout
    assert re.search(r"DRYAD_LOG_LEVEL +DEBUG +LOG_LEVEL", shown.stdout)
    assert dryad("db", "check", **port).returncode == 1  # these tables came without a migration
    fresh = {"DRYAD_DATABASE_URL": f"sqlite:///{tmp_path / 'fresh.db'}", **port}
    assert dryad("db", "upgrade", **fresh).returncode == 0
    assert dryad("db", "check", **fresh).returncode == 0
    current = json.loads(dryad("db", "--json", **fresh).stdout)
    assert current["revision"] == current["newest"]
    fails(dryad("db", "downgrade", "base", **fresh), 1, "--lose-data")
    assert dryad("db", "downgrade", "base", "--lose-data", **fresh).returncode == 0


def test_logs_are_read_through_the_api_and_without_it(dryad: Dryad):
    dryad("tasks", "show", "task_0")
    counted = json.loads(dryad("logs", "--count-by", "status", "--json").stdout)
    assert counted["values"]["404"] == 1
    line = dryad("logs", "--status", "404,500", "--limit", "1")
    assert "/api/v1/tasks/task_0" in line.stdout
    alone = dryad("logs", "--status", "404", DRYAD_API_PORT="9")
    assert "/api/v1/tasks/task_0" in alone.stdout
    assert "this machine's files instead" in alone.stderr
    assert dryad("logs", "--slower", "1h").stdout == ""
    fails(dryad("logs", "--slower", "long"), 2, "--slower")


def test_health_tells_each_component_and_fails_when_unhealthy(dryad: Dryad, installation: House):
    installation.services.health.record("llm", "degraded", "offline provider")
    done = dryad("health")
    assert done.returncode == 0
    assert re.search(r"^llm +degraded +offline provider", done.stdout, re.MULTILINE)
    assert set(data(dryad("health", "--json"))["components"]) == {
        "database", "redis", "chromadb", "llm",
    }  # fmt: skip


def test_agents_and_tools_are_granted_and_revoked(dryad: Dryad, installation: House):
    made = dryad(
        "agents", "register", "auditor", "--role", "reviewer", "--capabilities", '{"audit": 0.9}'
    )
    assert "dryad tools grant" in made.stderr
    assert "auditor" in dryad("agents").stdout
    tools = installation.services.tools
    tools.register(TenantId("default"), ToolSpec("count", "1.0.0", "Count", "read"))
    assert dryad("tools", "grant", "auditor", "count").returncode == 0
    assert [grant.principal for grant in tools.grants(TenantId("default"))] == ["auditor"]
    assert dryad("tools", "revoke", "auditor", "count").returncode == 0
    assert tools.grants(TenantId("default")) == []
    fails(dryad("tools", "show", "nothing"), 1, "no tool")


def test_a_tools_configuration_is_set_and_never_shown(dryad: Dryad, installation: House):
    tools, tenant = installation.services.tools, TenantId("default")
    tools.register(tenant, ToolSpec("ring", "1.0.0", "Ring", "external"))
    given = '{"url": "http://127.0.0.1:9/bell"}'
    said = dryad("tools", "configure", "ring", given)
    assert said.returncode == 0
    assert tools.get(tenant, "ring").config == {"url": "http://127.0.0.1:9/bell"}
    assert "bell" not in said.stdout + said.stderr + dryad("tools", "show", "ring", "--json").stdout
    fails(dryad("tools", "configure", "ring", "bell"), 2, "CONFIG")
    fails(dryad("tools", "configure", "ring", given, "--version", "7"), 1, "no tool")


def test_code_runs_in_the_sandbox_and_ends_as_it_ended(lonely: Dryad, tmp_path: Path):
    script = tmp_path / "job.py"
    script.write_text(
        "print(open('n.txt').read()); open('made.txt', 'w').write('x'); raise SystemExit(3)"
    )
    out, beside = tmp_path / "out", tmp_path / "n.txt"
    beside.write_text("42")
    options = ("--files", str(beside), "--out", str(out))
    done = lonely("sandbox", "run", str(script), *options, DRYAD_SANDBOX="namespaces")
    assert (done.returncode, done.stdout) == (1, "42\n")
    assert (out / "made.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("limit", "code", "seen"),
    [
        ("TIME=1s", "import time; time.sleep(60)", "wall_time"),
        ("CPU_TIME=1s", "while True: pass", "cpu_time"),
        ("MEMORY_BYTES=64000000", "b = bytearray(90_000_000)", "MemoryError"),
        ("PROCESSES=3", "import os\nfor _ in range(9): os.fork()", "temporarily unavailable"),
        ("OPEN_FILES=20", "f = [open('/dev/null') for _ in range(30)]", "Too many open files"),
        ("DISK_BYTES=100000", "open('f', 'wb').write(bytes(200_000))", '"disk"'),
        ("DISK_FILES=5", "for n in range(9): open(f'{n}', 'w')", "No space left on device"),
        ("OUTPUT_BYTES=1000", "print('x' * 5000)", "stdout was cut"),
        ("RETURNED_FILES=2", "for n in range(3): open(f'{n}', 'w').write('x')", "too many files"),
        ("RETURNED_BYTES=10", "open('f', 'w').write('x' * 11)", "too large"),
    ],
)
def test_each_limit_of_a_sandboxed_run_is_a_setting(
    lonely: Dryad, tmp_path: Path, limit: str, code: str, seen: str
):
    (script := tmp_path / "job.py").write_text(code)
    name, _, value = limit.partition("=")
    bounds = {f"DRYAD_SANDBOX_{name}": value, "DRYAD_SANDBOX": "namespaces"}
    done = lonely("sandbox", "run", str(script), "--json", **bounds)
    assert seen in done.stdout, done


def test_each_rung_of_the_sandbox_is_proven_or_says_why_not(tmp_path: Path):
    done = process("sandbox", "--json", home=tmp_path)
    rungs = data(done)
    assert [rung["rung"] for rung in rungs if rung["works"]]
    assert all(rung["works"] or rung["reason"] for rung in rungs)


def test_a_policy_is_set_and_compared(dryad: Dryad):
    assert dryad("policies", "set", "approval_tier=read", "escalate_above=0.7").returncode == 0
    shown = json.loads(dryad("policies", "--json").stdout)
    assert (shown["version"], shown["approval_tier"]) == (1, "read")
    changed = json.loads(dryad("policies", "diff", "0", "--json").stdout)
    assert {one["field"] for one in changed} == {"approval_tier", "escalate_above"}
    fails(dryad("policies", "set", "approval_tier=never"), 2, "approval_tier")
    fails(dryad("policies", "set", "nonsense"), 2, "cannot be read")
    tried = dryad("policies", "test", "--tier", "read", "--tool", "notify", "--json")
    assert data(tried) | {"why": ""} == {"need": "one", "approvers": 1, "role": "", "why": ""}
    fails(dryad("policies", "test", "--tier", "harmless"), 2, "tier")
    assert len(json.loads(dryad("policies", "show", "--all", "--json").stdout)) == 2


def test_a_budget_is_set_and_shown(dryad: Dryad):
    set_ = dryad("budget", "set", "project:web", "tokens=1000", "cost_usd=0.5")
    assert set_.returncode == 0
    assert re.search(r"^project:web +tokens +1000", set_.stdout, re.MULTILINE)
    (shown,) = data(dryad("budget", "show", "project:", "--json"))
    assert shown["lines"]["cost_usd"]["cap"] == 0.5
    assert dryad("budget", "set", "project:web", "tokens=none").returncode == 0
    (shown,) = data(dryad("budget", "show", "project:", "--json"))
    assert shown["lines"]["tokens"]["cap"] is None
    fails(dryad("budget", "set", "tokens=many"), 2, "no limit")
    fails(dryad("budget", "set", "project:web"), 2, "nothing to set")
    fails(dryad("budget", "set", "coffee=1"), 2, "coffee")


def test_a_kill_switch_is_set_and_lifted(dryad: Dryad, installation: House):
    fails(dryad("stop", "tool:webhook"), 2, "reason")
    assert "dryad lift" in dryad("stop", "tool:webhook", "--reason", "wrong receiver").stderr
    assert [one.scope for one in installation.services.stops.list()] == ["tool:webhook"]
    assert "wrong receiver" in dryad("stop", "--list").stdout
    mended = ("lift", "tool:webhook", "--reason", "mended")
    fails(dryad(*mended), 1, "type its scope again")
    fails(dryad("lift", "tool:webhook"), 2, "--reason")
    assert dryad(*mended, "--confirm", "tool:webhook").returncode == 0
    assert installation.services.stops.list() == []
    fails(dryad("lift", "nonsense", "--reason", "a"), 2, "no scope")
