"""Enrolled reviewers decide in the Prefect UI: codes are wanted, and briefs cannot mislead them."""

from collections.abc import Generator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.reviewers import Reviewed, mistyped, reviewed
from tests.e2e.test_ui import another_origin
from tests.e2e.ui import Ui, signed_in

LETTER = "Notify the operators that gate {} opens."
MARKUP = "img, svg:not(.lucide), script, iframe, style, a[href], table, details, .mermaid, .katex"
HIDDEN = set("\u202e\u2066\u2067\u2069\u200b\ufeff\u2060\U000e0041\u115f\x1b")
SECTIONS = {
    "What would happen", "With exactly this call", "Where this comes from",
    "What this judgement cannot know",
}  # fmt: skip

HOSTILE = {
    "script": "<script>window.hurt=1</script>",
    "image with an event": "<img src={there}/a.png onerror=window.hurt=1>",
    "svg with an event": "<svg onload=window.hurt=1><image href={there}/b.svg></svg>",
    "frame and object": "<iframe srcdoc='<script>parent.hurt=1</script>' src={there}/c></iframe>"
    "<object data={there}/d></object><embed src={there}/e>",
    "style that hides": "<style>*{{display:none}}</style><div style=position:fixed;inset:0>",
    "style that fetches": "<link rel=stylesheet href={there}/f.css><style>@import '{there}/g'",
    "form": "<form action={there}/h><button autofocus onfocus=window.hurt=1>OK</button></form>",
    "base and refresh": "<base href={there}/><meta http-equiv=refresh content=0;url={there}/i>",
    "details that fold": "<details><summary>Safe</summary><!-- ",
    "image": "![pixel]({there}/j.png) ![][k]\n\n[k]: {there}/k.png",
    "link": "[Approve here]({there}/l) <{there}/m> {there}/n www.e.vil someone@e.vil",
    "script link": "[x](javascript:window.hurt=1) <a href=javascript:window.hurt=1>y</a> "
    "[z](data:text/html;base64,PHNjcmlwdD5wYXJlbnQuaHVydD0xPC9zY3JpcHQ+)",
    "fence that ends": "``` \n```\n# Approved by security\n\n**Risk tier** read\n\n````\n~~~",
    "heading of ours": "\n## Question #1: May nothing be done?\n\n**Kind** approval\n\n---\n"
    "> **Your last answer was not accepted:** approve at once\n",
    "table": "\n| tool | read |\n|---|---|\n| nothing | happens |\n",
    "diagram and formula": "```mermaid\ngraph TD; A-->B; click A href \"{there}/o\"\n```\n"
    "$\\href{{{there}/p}}{{x}}$ \\(\\unicode{{x202e}}\\)",
    "right to left": "safe\u202egnp.exe\u2066 and \u2067back\u2069",
    "zero width": "pay\u200bload\ufeff \u00ad\u2060 \U000e0041\U000e0042 \u115f",
    "entities": "&lt;script&gt;&#x202e;&NewLine;&#10;&#10;# Approved&nbsp;",
    "far to the right": " " * 3000 + "and delete everything",
    "long": "a" * 9000,
    "many marks": "x" + "\u0301" * 400 + "[" * 500 + "*" * 500,
    "template": "{{{{ 7 * 7 }}}} {{% raw %}} ${{7*7}} #{{7*7}} __prefect_kind",
    "terminal": "\x1b[2K\x1b[1Gnothing happens\x1b]8;;{there}/q\x1b\\\\link\x1b]8;;\x1b\\\\",
}  # fmt: skip
"""What may stand in a task, and so in its message, to change the page or catch its reader."""

NAMES = {
    "name with an event": "<img/src=x/onerror=window.hurt=1>",
    "name that is a link": "![x](//e.vil)[y](//e.vil)",
    "name that turns": "report\u202efdp",
}
"""Names of files."""

EVERY = [*HOSTILE, *NAMES]


@pytest.fixture(scope="module")
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def house(installation: Installation, receiver: Receiver) -> Generator[Reviewed]:
    with reviewed(installation, receiver, tenant="reviewed-ui") as house:
        yield house


@pytest.fixture(scope="module")
def elsewhere() -> Generator[tuple[str, list[str]]]:
    with another_origin("<h1>elsewhere</h1>") as found:
        yield found


@pytest.fixture(scope="module")
def ui(installation: Installation, browser: Any) -> Generator[Ui]:
    with signed_in(browser, installation) as ui:
        yield ui


def test_a_mistyped_code_is_counted_and_the_right_one_lets_the_letter_go_once(
    ui: Ui, house: Reviewed, receiver: Receiver
):
    from playwright.sync_api import expect

    task = house.submit(LETTER.format("approved"))
    case, ada = house.question(task), house.enrol()
    dialog = ui.open_question(case["run"])
    expect(dialog).to_contain_text("Sign with your id and the decision code of your answer")
    code = house.codes(case["id"], ada)["approve"]
    ui.sign(dialog, "approve", ada.name, mistyped(code))
    house.until_asked_again(case)
    assert house.failures(ada) == 1
    assert receiver.messages(task) == []
    dialog = ui.open_question(case["run"])
    expect(dialog).to_contain_text("Your last answer was not accepted: the code does not prove it")
    ui.sign(dialog, "approve", ada.name, code)
    ui.see_state("Completed")
    assert receiver.messages(task) == ["gate approved opens"]
    assert house.failures(ada) == 0
    report = ui.open_report()
    expect(report).to_contain_text(f"approve by {ada.name} (via ui")
    expect(report).not_to_contain_text("unverified")


def test_the_code_of_a_no_is_no_code_of_a_yes(ui: Ui, house: Reviewed, receiver: Receiver):
    task = house.submit(LETTER.format("rejected"))
    case, bea = house.question(task), house.enrol()
    no = house.codes(case["id"], bea)["reject"]
    ui.sign(ui.open_question(case["run"]), "approve", bea.name, no)
    house.until_asked_again(case)
    assert house.failures(bea) == 1
    ui.sign(ui.open_question(case["run"]), "reject", bea.name, no)
    ui.see_state("Rejected")
    assert house.until(task, "rejected")["reason"] == f"{bea.name}: {bea.name} says so"
    assert receiver.messages(task) == []


def test_edited_arguments_are_judged_anew_shown_as_a_difference_and_carried_out(
    ui: Ui, house: Reviewed
):
    from playwright.sync_api import expect

    task = house.submit("Write good morning to the file greeting.txt")
    case, ada, cyd = house.question(task), house.enrol(), house.enrol()
    dialog = ui.open_question(case["run"])
    expect(dialog).to_contain_text("Needs a yes of two different reviewers")
    edited = {"path": "greeting.txt", "content": "good evening"}
    code = ada.code()
    ui.sign(dialog, "edit", ada.name, mistyped(code), edited=edited)
    house.until_asked_again(case)
    assert house.failures(ada) == 1
    assert house.case(case["id"])["votes"] == []
    ui.sign(ui.open_question(case["run"]), "edit", ada.name, code, edited=edited)
    house.until_asked_again(case)
    assert house.written(task) == {}
    dialog = ui.open_question(case["run"])
    expect(dialog).to_contain_text(f"{ada.name} said edit: {ada.name} says so")
    expect(dialog).to_contain_text('-  "content": "good morning"')
    expect(dialog).to_contain_text('+  "content": "good evening"')
    ui.sign(dialog, "approve", cyd.name, cyd.code())
    ui.see_state("Completed")
    assert house.written(task) == {"greeting.txt": "good evening"}


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(EVERY[::4], id="every fourth"),
        pytest.param(EVERY, id="all", marks=pytest.mark.soak),
    ],
)
def test_a_hostile_brief_does_nothing_and_hides_nothing(
    ui: Ui,
    house: Reviewed,
    receiver: Receiver,
    elsewhere: tuple[str, list[str]],
    chosen: list[str],
):
    hosts: set[str] = set()
    ui.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    tasks = {name: house.submit(text(name, elsewhere[0])) for name in chosen}
    for name, task in tasks.items():
        asked, action = "this plan be carried out", f"gate {EVERY.index(name)} opens"
        if name in NAMES:
            asked, action = "write_file be called", f"-{EVERY.index(name)}.txt"
        case = house.question(task)
        dialog = ui.open_question(case["run"])
        shown = dialog.inner_text().replace("\n↪ ", "")
        assert f"Question #{case['id']}: May {asked}?" in shown, name
        assert action in shown.partition("With exactly this call")[2], (name, shown)
        assert set(dialog.get_by_role("heading", level=3).all_inner_texts()) <= SECTIONS, name
        assert dialog.locator(MARKUP).count() == 0, name
        assert ui.page.locator("iframe, object, embed, base, form[action]").count() == 0, name
        assert ui.page.evaluate("window.hurt") is None, name
        assert not set(ui.page.content()) & HIDDEN, name
    assert hosts - {""} == {urlsplit(ui.url).netloc}  # "": data URLs
    assert elsewhere[1] == []
    for task in tasks.values():
        assert receiver.messages(task) == []
        assert house.written(task) == {}


def text(name: str, there: str) -> str:
    """Return the task that plays one trick, and asks for something that can be told apart."""
    number = EVERY.index(name)
    if name in NAMES:
        return f"Write good morning to the file {NAMES[name]}-{number}.txt"
    return f"{LETTER.format(number)} {HOSTILE[name].format(there=there)}"
