"""Reviewers and their answers at the command line."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pyotp.totp import TOTP

from dryad.foundation.clock import utc_now
from dryad.foundation.ids import RunId, TaskId, TenantId
from dryad.orchestration.review.questions import Question
from dryad.orchestration.review.reviewers import SINGLE_USER_AGAIN
from tests.dryad.api.conftest import House
from tests.dryad.api.test_consultations import RUN, NoForm
from tests.dryad.cli.conftest import Dryad, call
from tests.dryad.cli.test_cli import data, fails


@pytest.fixture
def case(dryad: Dryad, installation: House) -> int:
    """A question about a task that a colleague's key asked for."""
    installation.services.cases._answers = NoForm()  # the server is down, nobody answered there
    task = TaskId(dryad("run", "Send it").stdout.strip())
    installation.services.tasks.set_status(task, "running")
    return installation.services.cases.settle(
        Question(
            tenant=TenantId("default"),
            task=task,
            run=RunId(RUN),
            member="analyst-1",
            ordinal=1,
            kind="approval",
            tier="external",
            requester="key:0123456789abcdef",
            title="Send the report",
            why="it leaves the house",
            action="send",
            call={"tool": "webhook", "version": "1", "arguments": {"to": "a"}},
        )
    ).id


def test_a_plan_is_edited_in_a_file(dryad: Dryad, installation: House, tmp_path: Path, case: int):
    fails(dryad("inbox", "plan", str(case)), 2, "is about a call")
    installation.services.provide_tenant(TenantId("default"))
    step = {"id": "s1", "text": "Look", "capability": "research", "tools": [], "after": []}
    first = installation.services.cases.get(TenantId("default"), case)
    question = Question(
        tenant=first.tenant, task=first.task, run=first.run, member="decision-engine", ordinal=1,
        kind="escalation", tier="read", requester="key:1", title="May it?", why="", action="look",
        plan=[step, {**step, "id": "s2", "text": "Delete it"}],
    )  # fmt: skip
    asked = str(installation.services.cases.settle(question).id)
    assert f"dryad inbox plan {asked}" in dryad("inbox", "show", asked).stderr
    plan = data(dryad("inbox", "plan", asked))
    assert plan == {"steps": question.plan}
    file = tmp_path / "plan.json"
    answer = ("answer", asked, "--reason", "safer", "--edit", f"@{file}")
    fails(dryad(*answer), 2, "cannot be read")
    file.write_text(json.dumps({"steps": [{**step, "capability": "root"}]}))
    fails(dryad(*answer), 2, "nobody has it", "dryad inbox plan")
    file.write_text(json.dumps({"steps": plan["steps"][:1]}))
    accepted = dryad(*answer)
    assert accepted.returncode == 0, accepted.stderr
    shown = data(dryad("inbox", "show", asked, "--json"))
    assert (shown["verdict"]["decision"], shown["plan"]) == ("edit", [step])
    assert "-s2: Delete it" in shown["brief"]


def test_a_reviewer_is_enrolled_and_answers_with_a_code(dryad: Dryad, case: int):
    before = dryad("reviewers")
    assert "single-user mode: who answers is unverified" in before.stderr
    made = dryad("reviewers", "add", "ada", "--role", "chief", "--of", "default")
    assert made.stdout.startswith("otpauth://totp/DRYAD:ada?")
    assert "cannot be shown again" in made.stderr
    device = TOTP(parse_qs(urlsplit(made.stdout.strip()).query)["secret"][0])
    (listed,) = data(dryad("reviewers", "--json"))
    assert (listed["id"], listed["roles"], listed["tenants"]) == ("ada", ["chief"], ["default"])
    answer = ("answer", str(case), "--approve", "--reason", "fine")
    fails(dryad(*answer), 1, "say who you are")
    fails(dryad(*answer, "--as", "ada", "--code", "123456"), 1, "does not prove", "stays open")
    past = device.at(utc_now() - timedelta(seconds=30))
    codes = data(dryad("inbox", "codes", str(case), "--as", "ada", "--code", past, "--json"))
    assert set(codes) == {"approve", "reject", "reply"}
    signed = dryad(*answer, "--as", "ada", "--code", device.at(utc_now()), "--json")
    assert data(signed)["verdict"]["by"] == "ada"


def test_a_second_reviewer_is_named_as_missing(dryad: Dryad, case: int, installation: House):
    installation.services.policies.set("default", {"rules": [{"need": "two"}]}, author="ann")
    renewed = dryad("reviewers", "add", "ada", "--json")
    assert data(renewed)["reviewer"]["keys"] == []
    dryad("reviewers", "suspend", "ada")
    assert data(dryad("reviewers", "--json"))[0]["status"] == "suspended"
    dryad("reviewers", "restore", "ada")
    device = TOTP(parse_qs(urlsplit(data(renewed)["uri"]).query)["secret"][0])
    # This question was asked before the policy: what it takes was settled then.
    answered = dryad(
        "answer", str(case), "--approve", "--reason", "ok", "--as", "ada", "--code", device.now()
    )
    assert "another reviewer has to agree" not in answered.stderr


def test_single_user_mode_comes_back_only_by_a_typed_sentence(dryad: Dryad):
    dryad("reviewers", "add", "ada")
    fails(dryad("reviewers", "single-user"), 1, "so many words", SINGLE_USER_AGAIN)
    assert dryad("reviewers", "single-user", "--confirm", SINGLE_USER_AGAIN).returncode == 0
    assert "single-user mode" in dryad("reviewers").stderr
    events = [json.loads(line)["event"] for line in dryad("audit", "export").stdout.splitlines()]
    assert events[-1] == "single_user_mode_again"


def test_the_inbox_is_watched_until_it_is_interrupted(installation: House, case: int):
    # What is begun in the background ignores interrupts, and so would what it begins.
    command = ["env", "--default-signal=INT", sys.executable, "-P", "-m", "dryad"]
    command += ["inbox", "--watch"]
    environ = os.environ | installation.environ
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert "following the inbox" in watcher.stderr.readline()
        opened = watcher.stdout.readline()
        assert opened.startswith(f"#{case}  approval  due ")
        assert opened.endswith("  Send the report\n")
        call(
            ("answer", str(case), "--reject", "--reason", "no"),
            installation.environ,
            Path.cwd(),
            "",
        )
        assert watcher.stdout.readline() == f"#{case}  closed\n"
        watcher.send_signal(signal.SIGINT)
        assert watcher.stdout.read() == ""
    assert watcher.returncode == 130
