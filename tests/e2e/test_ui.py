"""A person does everything in the Prefect UI: asks, reads why a run waits, decides, and sees it."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.ui import Ui, signed_in

LETTER = "Notify the operators that the {} window begins at 18:00."


@contextmanager
def another_origin(page: str) -> Generator[tuple[str, list[str]]]:
    """Serve `page` from a port of its own; yields the origin and every path that was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def receiver(installation: Installation) -> Generator[Receiver]:
    with receiving() as receiver:
        installation.dryad("tools", "configure", "notify", json.dumps({"url": receiver.url}))
        yield receiver


@pytest.fixture(scope="module")
def foreign() -> Generator[tuple[str, list[str]]]:
    with another_origin("<h1>elsewhere</h1>") as found:
        yield found


@pytest.fixture(scope="module")
def waiting(
    installation: Installation, receiver: Receiver, foreign: tuple[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """Tasks that wait for a person, by what becomes of them."""
    hostile = (
        f"![pixel]({foreign[0]}/pixel.png) <img src={foreign[0]}/tag.png onerror=window.hurt=1> "
        f"<script>window.hurt=1</script> {foreign[0]}/link ``` ``` # Approved safe\u202egnp.exe"
    )
    texts = {name: LETTER.format(name) for name in ("approved", "rejected")}
    texts["hostile"] = f"{LETTER.format('hostile')} {hostile}"
    with installation.api() as api:
        made = {
            name: api.post("/api/v1/tasks", json={"text": text}).raise_for_status().json()["id"]
            for name, text in texts.items()
        }
    return {name: installation.until(task, "waiting") for name, task in made.items()}


@pytest.fixture(scope="module")
def ui(installation: Installation, browser: Any) -> Generator[Ui]:
    with signed_in(browser, installation) as ui:
        yield ui


def run_of(installation: Installation, task: dict[str, Any]) -> dict[str, Any]:
    with installation.prefect() as prefect:
        return prefect.get(f"/flow_runs/{task['run']}").raise_for_status().json()


def test_a_task_is_asked_in_the_form_and_its_report_is_read(ui: Ui):
    from playwright.sync_api import expect

    ui.start_task("What happens to a task when its flow run is suspended?")
    ui.see_state("Completed")
    report = ui.open_report()
    expect(report).to_contain_text("What happens to a task when its flow run is suspended?")
    expect(report).to_contain_text("Degraded: no language model is configured")
    expect(report).to_contain_text("/docs/")
    expect(report).to_contain_text("requested by ui:unverified")


def test_an_approval_in_the_form_lets_exactly_what_it_showed_happen_once(
    ui: Ui, installation: Installation, receiver: Receiver, waiting: dict[str, dict[str, Any]]
):
    from playwright.sync_api import expect

    task = waiting["approved"]
    dialog = ui.open_waiting(task["id"])
    expect(dialog).to_contain_text("Why you are asked: the plan uses a tool of tier external")
    expect(dialog).to_contain_text('"message": "the approved window begins at 18:00"')
    assert receiver.messages(task["id"]) == []
    ui.answer(dialog, "approve", "planned for weeks", "Ada")
    ui.see_state("Completed")
    assert receiver.messages(task["id"]) == ["the approved window begins at 18:00"]
    report = ui.open_report()
    expect(report).to_contain_text("approve by Ada (unverified) (via ui")
    expect(report).to_contain_text("planned for weeks")
    assert "awaiting-human" not in run_of(installation, task)["tags"]


def test_a_rejection_in_the_form_lets_nothing_happen(
    ui: Ui, installation: Installation, receiver: Receiver, waiting: dict[str, dict[str, Any]]
):
    from playwright.sync_api import expect

    task = waiting["rejected"]
    ui.answer(ui.open_waiting(task["id"]), "reject", "not today", "Ada")
    ui.see_state("Rejected")
    assert receiver.messages(task["id"]) == []
    assert installation.task(task["id"])["status"] == "rejected"
    assert run_of(installation, task)["state"]["name"] == "Rejected"
    report = ui.open_report()
    expect(report).to_contain_text("Rejected by a person")
    expect(report).to_contain_text("not today")


def test_a_hostile_task_is_text_to_its_reader(
    ui: Ui, waiting: dict[str, dict[str, Any]], foreign: tuple[str, list[str]]
):
    hosts: set[str] = set()
    ui.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    dialog = ui.open_waiting(waiting["hostile"]["id"])
    shown = dialog.locator("pre").first.inner_text()
    for written in ("![pixel](", "<script>window.hurt=1</script>", "``` ``` # Approved"):
        assert written in shown.replace("\n↪ ", "")
    assert "safe⟨U+202E⟩gnp.exe" in shown.replace("\n↪ ", "")
    assert "\u202e" not in ui.page.content()
    for markup in ("img", "script", "iframe", "a[href]"):
        assert dialog.locator(markup).count() == 0
    assert ui.page.evaluate("window.hurt") is None
    assert hosts - {""} == {urlsplit(ui.url).netloc}  # "": data URLs
    assert foreign[1] == []


def test_a_page_of_another_origin_can_do_nothing(
    ui: Ui, installation: Installation, waiting: dict[str, dict[str, Any]], foreign: Any
):
    task, login = waiting["hostile"], installation.secrets["prefect_auth"]
    before = run_of(installation, task)
    answer = {"run_input": {"decision": f"approve #{task['cases'][0]['id']}", "reason": "x"}}
    deployment, run = before["deployment_id"], before["id"]
    deeds = [
        ("POST", f"flow_runs/{run}/resume", answer),
        ("POST", f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLED"}, "force": True}),
        ("DELETE", f"flow_runs/{run}", None),
        ("POST", f"deployments/{deployment}/create_flow_run", {"name": "forged"}),
        ("POST", "flow_runs/filter", {}),
    ]
    page = ui.page.context.new_page()  # of the same browser, which is signed in
    page.goto(foreign[0])
    said = page.evaluate(ATTACK, [installation.prefect_url, deeds, login])
    assert len(said) == len(deeds) * 8
    assert set(said) <= {"failed", "opaque"}, said
    page.evaluate("url => { document.body.innerHTML = `<iframe src=${url}></iframe>` }", ui.url)
    page.wait_for_timeout(1500)
    assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
    page.close()
    after = run_of(installation, task)
    assert (after["state"]["id"], after["name"]) == (before["state"]["id"], before["name"])
    with installation.prefect() as prefect:
        forged = {"flow_runs": {"name": {"any_": ["forged"]}}}
        assert prefect.post("/flow_runs/filter", json=forged).json() == []
    # The same script from a page of the UI itself, with the login, reads runs: it is no dud.
    ours = ui.page.evaluate(ATTACK, [installation.prefect_url, deeds[-1:], login])
    assert "200" in ours


ATTACK = """async ([api, deeds, login]) => {
  const said = []
  for (const [method, path, body] of deeds)
    for (const credentials of ["omit", "include"])
      for (const mode of ["cors", "no-cors"])
        for (const authorised of [false, true]) {
          const headers = {"Content-Type": mode === "cors" ? "application/json" : "text/plain"}
          if (authorised) headers.Authorization = "Basic " + btoa(login)
          try {
            const answer = await fetch(`${api}/${path}`, {method, mode, credentials, headers,
              body: body === null ? undefined : JSON.stringify(body)})
            said.push(answer.type === "opaque" ? "opaque" : String(answer.status))
          } catch { said.push("failed") }
        }
  return said
}"""


def test_every_page_of_the_ui_says_what_it_may_reach(installation: Installation):
    for path in ("/", "/v2/runs", "/runs"):
        answer = httpx.get(installation.prefect_url.removesuffix("/api") + path)
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
