"""The Prefect UI as a person uses it: by what stands on buttons and beside fields."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.e2e.conftest import Installation

SECONDS = 30_000
_TRIES = 5


@contextmanager
def signed_in(browser: Any, installation: Installation) -> Generator["Ui"]:
    """Open the UI of an installation in a tab of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        ui = Ui(installation, context.new_page())
        ui.sign_in(installation.secrets["prefect_auth"])
        yield ui
    finally:
        context.close()


class Ui:
    """One tab in a browser that is signed in."""

    def __init__(self, installation: Installation, page: Any) -> None:
        self.page = page
        self.url = installation.prefect_url.removesuffix("/api")
        page.set_default_timeout(SECONDS)

    def sign_in(self, login: str) -> None:
        """Open the UI for the first time; it asks once."""
        self.page.goto(self.url)
        self.page.get_by_placeholder("admin:pass").fill(login)
        self.page.get_by_role("button", name="Login").click()
        self.page.get_by_role("button", name="Logout").wait_for()

    def start_task(self, text: str) -> None:
        """Run `orchestrate-task/on-demand` with its form, and go to the run."""
        self.page.get_by_role("link", name="Deployments").click()
        row = self.page.get_by_role("row").filter(has_text="orchestrate-task")
        row.get_by_role("link", name="on-demand").click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        self.page.get_by_label("Task", exact=True).fill(text)
        self.page.get_by_role("button", name="Submit").click()
        self.page.get_by_role("button", name="View run").click()

    def open_waiting(self, run_name: str) -> Any:
        """Find a waiting run in the list, open it and its question; return the dialog."""
        self.page.goto(f"{self.url}/v2/runs")
        self.page.get_by_text("All run states").click()
        self.page.get_by_role("menuitem", name="Suspended").click()
        self.page.keyboard.press("Escape")
        self.page.get_by_role("link", name=run_name).click()
        self.page.wait_for_url("**/flow-run/**")  # the list has menus, too
        return self._open_dialog()

    def open_question(self, run: str) -> Any:
        """Open a waiting run by its address and return the dialog of its question."""
        self.page.goto(f"{self.url}/v2/runs/flow-run/{run}")
        return self._open_dialog()

    def _open_dialog(self) -> Any:
        self.see_state("Suspended")  # before that the menu has no *Resume*
        self._choose("Resume")
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text("Why you are asked").wait_for()
        return dialog

    def cancel(self, run: str, state: str) -> None:
        """Cancel a run by the menu of its page, which shows that it stands so."""
        self.page.goto(f"{self.url}/v2/runs/flow-run/{run}")
        self.see_state(state)
        self._choose("Cancel")
        self.page.get_by_role("button", name="Cancel Flow Run").click()

    def _choose(self, name: str) -> None:
        """Choose from the menu of the run that is open."""
        from playwright.sync_api import TimeoutError as TooSlow

        for _ in range(_TRIES):  # of a page half built the last menu is another one, or covered
            with suppress(TooSlow):
                self.page.locator("button[aria-haspopup=menu]").last.click(timeout=SECONDS / 6)
                self.page.get_by_role("menuitem", name=name).click(timeout=SECONDS / 6)
                return
            self.page.reload()
            self.page.locator("[data-slot=badge]").first.wait_for()
        raise AssertionError(f"the run's menu offers no {name}")

    def answer(self, dialog: Any, decision: str, reason: str, name: str) -> None:
        """Fill in the form of a question, where nobody is enrolled, and send it."""
        self._send(dialog, decision, {"Reason": reason, "Your name": name})

    def sign(
        self,
        dialog: Any,
        decision: str,
        reviewer: str,
        code: str,
        *,
        edited: Mapping[str, Any] | None = None,
    ) -> None:
        """Fill in the form of a question as an enrolled reviewer, and send it."""
        from playwright.sync_api import expect

        if edited is not None:  # what the editor starts with comes after it
            expect(dialog.locator(".cm-content")).to_have_text("{}")
        fields = {"Reason": f"{reviewer} says so", "Your id": reviewer, "Code": code}
        self._send(dialog, decision, fields, edited)

    def _send(
        self,
        dialog: Any,
        decision: str,
        fields: Mapping[str, str],
        edited: Mapping[str, Any] | None = None,
    ) -> None:
        from playwright.sync_api import TimeoutError as TooSlow

        for _ in range(_TRIES):  # a page that is drawn anew meanwhile forgets what was filled in
            dialog.get_by_label("Select Decision").click()
            self.page.get_by_role("option", name=decision).click()
            if edited is not None:
                dialog.locator(".cm-content").fill(json.dumps(edited))
            for label, value in fields.items():
                dialog.get_by_label(label).fill(value)
            dialog.get_by_role("button", name="Resume").click()
            with suppress(TooSlow):
                dialog.wait_for(state="detached", timeout=SECONDS / 2)
                return
        raise AssertionError(f"the form does not close: {dialog.inner_text()[-500:]}")

    def see_state(self, name: str) -> None:
        """Wait until the run that is open stands so."""
        self.page.locator("[data-slot=badge]").get_by_text(name, exact=True).first.wait_for(
            timeout=5 * SECONDS  # a busy machine starts a run's process slowly
        )

    def open_report(self) -> Any:
        """Open the report of the run that is open, and return where its text stands."""
        from playwright.sync_api import TimeoutError as TooSlow

        for _ in range(_TRIES):  # the UI remembers that there was no artifact
            self.page.reload()
            self.page.get_by_role("tab", name="Artifacts").click()
            with suppress(TooSlow):
                self.page.get_by_text("Report", exact=True).click(timeout=SECONDS / 2)
                break
        return self.page.locator("main")
