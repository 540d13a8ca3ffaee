"""Enrolled reviewers of a running installation, their devices, and a tenant whose calls they judge.

While they are enrolled nobody answers unverified; afterwards the installation is as it was.
"""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from pyotp.totp import TOTP

from dryad.orchestration.review.reviewers import SINGLE_USER_AGAIN
from tests.e2e.conftest import Installation
from tests.e2e.receiver import Receiver
from tests.e2e.road import run_state
from tests.servers import wait_for

STEP_SECONDS = 30

RULES = [
    {"tools": ["write_file"], "tiers": ["reversible"], "need": "two"},
    {"actions": ["plan"], "tiers": ["read", "reversible"], "need": "automatic"},
    {"tiers": ["irreversible", "external", "authority"], "need": "one"},
    {"need": "automatic"},
]
"""A letter needs one yes, a file two; plans that only write files need none."""


@dataclass
class Device:
    """A reviewer and their authenticator."""

    name: str
    seed: str
    shown: int = 0

    def code(self) -> str:
        """Return a code that was never typed; waits where the device shows no new one yet."""
        step = max(self.shown + 1, int(time.time()) // STEP_SECONDS)
        while step > time.time() // STEP_SECONDS + 1:  # one step ahead is within the clocks' skew
            time.sleep(0.5)
        self.shown = step
        return TOTP(self.seed).generate_otp(step)


@dataclass
class Reviewed:
    """A tenant of an installation whose calls need the yes of somebody known."""

    installation: Installation
    tenant: str
    asker: str
    """A key that asks, and is no reviewer's."""
    receiver: Receiver
    enrolled: int = 0
    forms: dict[int, str] = field(default_factory=dict[int, str])
    """Which form of a question was seen last."""

    def enrol(self) -> Device:
        """Enrol one more reviewer: a device shows only two codes in its first half minute."""
        self.enrolled += 1
        with self.installation.api() as api:
            body = {"id": f"{self.tenant}-{self.enrolled}"}
            made = api.post("/api/v1/reviewers", json=body).raise_for_status().json()
        seed = parse_qs(urlsplit(made["uri"]).query)["secret"][0]
        return Device(made["reviewer"]["id"], seed)

    def submit(self, text: str, **more: Any) -> str:
        """Ask for a task of the tenant; who asks may not approve."""
        headers = {"Authorization": f"Bearer {self.asker}"}
        with httpx.Client(base_url=self.installation.api_url, headers=headers, timeout=30) as api:
            answer = api.post("/api/v1/tasks", json={"text": text, **more})
            return str(answer.raise_for_status().json()["id"])

    def task(self, task: str) -> dict[str, Any]:
        """Return a task as it stands."""
        with self.installation.api() as api:
            found = api.get(f"/api/v1/tasks/{task}", params={"tenant": self.tenant})
            return found.raise_for_status().json()

    def until(self, task: str, *statuses: str, seconds: float = 120) -> dict[str, Any]:
        """Return a task as soon as it stands as one of `statuses`."""
        wait_for(
            f"{task} {statuses}", lambda: self.task(task)["status"] in statuses, seconds=seconds
        )
        return self.task(task)

    def question(self, task: str, *, after: int = 0) -> dict[str, Any]:
        """Return the question a task waits with, one with a number above `after`.

        Its run has gone to sleep: the form can be opened.
        """
        wait_for(
            f"a question of {task}",
            lambda: any(case["id"] > after for case in self._open(task)),
            seconds=120,
        )
        found = next(case for case in self._open(task) if case["id"] > after)
        self.until_asked_again(found)
        return found

    def until_asked_again(self, case: dict[str, Any]) -> None:
        """Wait for a form of the question that was not seen yet."""
        seen = self.forms.get(case["id"], "")

        def another() -> bool:
            state = run_state(self.installation, case["run"])
            if state["type"] == "PAUSED":
                self.forms[case["id"]] = state["state_details"]["pause_key"]
            return self.forms.get(case["id"], "") != seen

        wait_for(f"another form of question #{case['id']}", another, seconds=120)

    def _open(self, task: str) -> list[dict[str, Any]]:
        return [case for case in self.task(task)["cases"] if not case["verdict"]]

    def case(self, number: int) -> dict[str, Any]:
        """Return a question as it stands."""
        with self.installation.api() as api:
            shown = api.get(f"/api/v1/consultations/{number}", params={"tenant": self.tenant})
            return shown.raise_for_status().json()

    def codes(self, case: int, who: Device) -> dict[str, str]:
        """Let a reviewer ask for the codes by which they may answer in the form."""
        asked = ("inbox", "codes", str(case), "--as", who.name, "--code", who.code())
        return self.installation.json(*asked, "--tenant", self.tenant)

    def failures(self, who: Device) -> int:
        """How many wrong codes in a row are on a reviewer's account."""
        listed = self.installation.json("reviewers")
        return next(one["failures"] for one in listed if one["id"] == who.name)

    def written(self, task: str) -> dict[str, str]:
        """The files a task left on the disk, by name."""
        return {
            file.name: file.read_text()
            for folder in (self.installation.home / "workspaces").rglob(task)
            for file in folder.rglob("*")
            if file.is_file()
        }


@contextmanager
def reviewed(installation: Installation, receiver: Receiver, *, tenant: str) -> Generator[Reviewed]:
    """Set up a tenant and enrol the first reviewer; in the end everybody may answer again."""
    installation.dryad("tenants", "create", tenant)
    made = installation.json("keys", "create", "asker", "--tenant", tenant)
    installation.dryad("policies", "set", f"rules={json.dumps(RULES)}", "--tenant", tenant)
    to = json.dumps({"url": receiver.url})
    installation.dryad("tools", "configure", "notify", to, "--tenant", tenant)
    house = Reviewed(installation, tenant, made["text"], receiver)
    house.enrol()
    try:
        yield house
    finally:
        installation.dryad("reviewers", "single-user", "--confirm", SINGLE_USER_AGAIN)


def mistyped(code: str) -> str:
    """Return a code with its last character wrong."""
    return code[:-1] + ("7" if code[-1] != "7" else "2")
