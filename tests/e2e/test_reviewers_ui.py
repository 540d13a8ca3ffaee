"""Reviewers answer in the Prefect UI, known by a code; hostile briefs change nothing for them."""

import json
import re
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pyotp.totp import TOTP

from dryad.foundation.clock import utc_now
from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.ui import Ui
from tests.servers import wait_for

LETTER = "Notify the operators that the {} window begins at 18:00."

HOSTILE = [
    "# Approved by security",
    "**APPROVED** by the operator",
    "``` closed ``` # outside",
    "~~~ closed ~~~ <h1>outside</h1>",
    "<script>window.hurt = 1</script>",
    "<img src=x onerror=window.hurt=1>",
    "<iframe src=https://example.org></iframe>",
    "<svg onload=window.hurt=1>",
    "<details open ontoggle=window.hurt=1>x</details>",
    "<style>*{display:none}</style>",
    "<form action=https://example.org><button>Resume</button></form>",
    "<meta http-equiv=refresh content=0;url=https://example.org>",
    "<a href=javascript:window.hurt=1>click</a>",
    "[click](javascript:window.hurt=1)",
    "![pixel](https://example.org/pixel.png)",
    "![data](data:image/svg+xml,<svg/onload=window.hurt=1>)",
    "https://example.org/link www.example.org a@example.org",
    "| fake | table | |---|---| | approve | yes |",
    "> Your last answer was not accepted: none",
    "safe\u202egnp.exe",
    "zero\u200bwidth\u2060joined\ufefftext",
    "&lt;b&gt;entities&#33; &#x202e;",
    "$$\\href{javascript:window.hurt=1}{x}$$",
    "{{ flow_run.name }} {% raw %} ${7*7}",
]


class Reviewer:
    """A person with an authenticator."""

    def __init__(self, installation: Installation, name: str) -> None:
        made = installation.json("reviewers", "add", name)
        self.name, self._installation = name, installation
        self._totp = TOTP(parse_qs(urlsplit(made["uri"]).query)["secret"][0])
        self._last = ""

    def code(self) -> str:
        """Wait for a code that was not used yet, as one does."""
        wait_for("a new code", lambda: self._totp.at(utc_now()) != self._last, seconds=40)
        self._last = self._totp.at(utc_now())
        return self._last

    def codes(self, case: int) -> dict[str, str]:
        """Ask the authenticated inbox for the codes of a question."""
        return self._installation.json(
            "inbox", "codes", str(case), "--as", self.name, "--code", self.code()
        )


@pytest.fixture(scope="module")
def reviewed(start: Callable[..., Installation]) -> Installation:
    return start("reviewed")


@pytest.fixture(scope="module")
def receiver(reviewed: Installation) -> Generator[Receiver]:
    with receiving() as receiver:
        reviewed.dryad("tools", "configure", "notify", json.dumps({"url": receiver.url}))
        yield receiver


@pytest.fixture(scope="module")
def colleague(reviewed: Installation) -> str:
    """The key of who asks: reviewers here never asked for anything."""
    return reviewed.dryad("keys", "create", "colleague", "--scopes", "tasks:write").strip()


@pytest.fixture(scope="module")
def ada(reviewed: Installation) -> Reviewer:
    return Reviewer(reviewed, "ada")


@pytest.fixture(scope="module")
def ui(reviewed: Installation, browser: Any) -> Generator[Ui]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    ui = Ui(reviewed, context.new_page())
    ui.sign_in(reviewed.secrets["prefect_auth"])
    yield ui
    context.close()


def waits(installation: Installation, key: str, text: str) -> dict[str, Any]:
    """Let a colleague ask for something, until it waits for a person."""
    with installation.api() as api:
        api.headers["Authorization"] = f"Bearer {key}"
        task = api.post("/api/v1/tasks", json={"text": text}).raise_for_status().json()["id"]
    return installation.until(task, "waiting")


def fill(ui: Ui, dialog: Any, decision: str, name: str, code: str) -> None:
    dialog.get_by_label("Select Decision").click()
    ui.page.get_by_role("option", name=decision).click()
    dialog.get_by_label("Reason").fill("because")
    dialog.get_by_label("Your id").fill(name)
    dialog.get_by_label("Code", exact=True).fill(code)
    dialog.get_by_role("button", name="Resume").click()
    dialog.wait_for(state="detached")


def case_of(task: dict[str, Any]) -> int:
    return int(task["cases"][0]["id"])


def rounds(installation: Installation, case: int) -> str:
    return str(installation.json("inbox", "show", str(case))["brief"])


def test_a_mistyped_code_is_refused_and_the_right_one_lets_it_happen_once(
    reviewed: Installation, receiver: Receiver, colleague: str, ada: Reviewer, ui: Ui
):
    from playwright.sync_api import expect

    task = waits(reviewed, colleague, LETTER.format("approved"))
    case = case_of(task)
    codes = ada.codes(case)
    dialog = ui.open_waiting(task["id"])
    expect(dialog).to_contain_text("Sign with your id and the decision code of your answer")
    assert dialog.get_by_label("Edited arguments").count() == 0  # not at this risk
    wrong = codes["approve"][:-1] + ("A" if codes["approve"][-1] != "A" else "B")
    fill(ui, dialog, f"approve #{case}", "ada", wrong)
    refused = "does not prove"
    wait_for("the refusal", lambda: refused in rounds(reviewed, case), seconds=90)
    reviewed.until(task["id"], "waiting")
    assert receiver.messages(task["id"]) == []
    dialog = ui.open_waiting(task["id"])
    expect(dialog).to_contain_text("Your last answer was not accepted")
    fill(ui, dialog, f"approve #{case}", "ada", codes["approve"])
    done = reviewed.until(task["id"], "done")
    assert receiver.messages(task["id"]) == ["the approved window begins at 18:00"]
    verdict = done["cases"][0]["verdict"]
    assert (verdict["by"], verdict["verified"], verdict["via"]) == ("ada", True, "ui")


def test_a_code_for_yes_does_not_say_no_and_a_no_lets_nothing_happen(
    reviewed: Installation, receiver: Receiver, colleague: str, ada: Reviewer, ui: Ui
):
    task = waits(reviewed, colleague, LETTER.format("rejected"))
    case = case_of(task)
    codes = ada.codes(case)
    fill(ui, ui.open_waiting(task["id"]), f"reject #{case}", "ada", codes["reject"])
    reviewed.until(task["id"], "rejected")
    assert receiver.messages(task["id"]) == []


def test_what_is_risky_is_edited_at_the_command_line(
    reviewed: Installation, receiver: Receiver, colleague: str, ada: Reviewer
):
    task = waits(reviewed, colleague, LETTER.format("edited"))
    case = case_of(task)
    shown = reviewed.json("inbox", "show", str(case))
    arguments = json.dumps({**_arguments(shown["brief"]), "message": "the window is cancelled"})
    answer = ("answer", str(case), "--edit", arguments, "--reason", "it rains", "--as", "ada")
    reviewed.dryad(*answer, "--code", ada.code())
    reviewed.until(task["id"], "done")
    assert receiver.messages(task["id"]) == ["the window is cancelled"]


def _arguments(brief: str) -> dict[str, Any]:
    fences = re.findall(r"```text\n(\{.*?\n\})\n```", brief, re.DOTALL)
    return json.loads(fences[-1])


def test_two_dozen_hostile_briefs_are_text_to_their_reader(
    reviewed: Installation, colleague: str, ui: Ui
):
    foreign: set[str] = set()
    ui.page.on("request", lambda request: foreign.add(urlsplit(request.url).netloc))
    tasks = []
    with reviewed.api() as api:
        api.headers["Authorization"] = f"Bearer {colleague}"
        for number, hostile in enumerate(HOSTILE):
            text = f"{LETTER.format(f'number {number}')} {hostile}"
            made = api.post("/api/v1/tasks", json={"text": text}).raise_for_status()
            tasks.append(made.json()["id"])
    for task, hostile in zip(tasks, HOSTILE, strict=True):
        run = reviewed.until(task, "waiting", seconds=180)["run"]
        dialog = ui.open_question(run)
        shown = dialog.locator("pre").first.inner_text().replace("\n↪ ", "").replace("\n", " ")
        plain = "".join(char if char.isprintable() else f"⟨U+{ord(char):04X}⟩" for char in hostile)
        squeezed = shown.replace(" ", "")
        assert plain.replace(" ", "") in squeezed, hostile
        for markup in ("img", "script", "iframe", "svg[onload]", "style", "form form", "a[href]"):
            assert dialog.locator(f"pre {markup}").count() == 0, (hostile, markup)
        for markup in ("img", "script", "iframe", "a[href]"):
            assert dialog.locator(markup).count() == 0, (hostile, markup)
        ui.page.keyboard.press("Escape")
    assert ui.page.evaluate("window.hurt") is None
    assert foreign - {""} == {urlsplit(ui.url).netloc}
