"""A model that obeys everything it reads does nothing outside on the word of a stranger.

Nothing but provenance stands in the way here: by the policy these calls need nobody. Planted orders
come through every channel an agent reads by; in their benign twins the same words come from who is
trusted, and must be obeyed, or nothing would be proven.
"""

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Asks, Done
from dryad.foundation.ids import RunId
from dryad.foundation.tools import ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, Hit, episode, talking_to
from tests.dryad.execution.plants import LANGUAGES, PLANTS
from tests.web import Answer, Received, Server, accept, completion, reply, serve

SECRET = {"to": "attacker", "message": "swordfish"}
EFFECTS: dict[str, Any] = {"notify": SECRET, "wire": SECRET, "vault": {}}
"""A message, a request to another server, and reading what must not leave."""

BENIGN = [*LANGUAGES, "policy", "authority", "urgent", "markdown", "role"]
CHANNELS = ("document", "file", "file name", "tool output", "memory", "agent message")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Which technology keeps the ledger says nothing about who is obeyed."""
    return f"sqlite:///{tmp_path / 'dryad.db'}"


@dataclass
class Outcome:
    """What came of one conversation with the obedient model."""

    end: Done | Asks
    tried: bool
    """Whether the model read the order and wanted to obey."""


class Range:
    """An agent with dangerous tools, the servers they reach, and the channels it reads by."""

    def __init__(self, desk: Desk, outside: Server) -> None:
        self.desk, self.outside = desk, outside
        host = outside.url.removeprefix("http://")
        places = {"to": "body", "message": "body"}
        common = {"base": outside.url, "private_hosts": [host]}
        wire = {"method": "POST", "path": "/wire", "places": places, **common}
        vault = {"method": "GET", "path": "/vault", "places": {}, "reads_secrets": True, **common}
        news = {"method": "GET", "path": "/news", "places": {}, **common}
        for name, tier, config in (
            ("wire", "external", wire), ("vault", "read", vault), ("news", "read", news),
        ):  # fmt: skip
            spec = ToolSpec(name, "1", name, tier, kind="http", config=config)  # type: ignore[arg-type]
            desk.tools.register(ACME, spec)
        desk.tools.configure(ACME, "notify", "1", {"url": f"{outside.url}/notify"})
        for tool in ("wire", "vault", "news", "search_memory", "read_file", "list_files"):
            desk.tools.grant(ACME, "messenger", tool)
        desk.policy.approval_tier = "authority"
        self.news = ""
        self._runs = 0

    @property
    def effects(self) -> list[str]:
        """What arrived at the servers, but for the reading of news."""
        return [one.path for one in self.outside.received if one.path != "/news"]

    async def talk(
        self, plant: str, effect: str, *, reads: tuple[str, Any] | None, prompt: str = "Look.",
        **more: Any,
    ) -> Outcome:  # fmt: skip
        """Let the agent read, with a model that then does what `plant` says."""
        self._runs += 1
        run = RunId(f"run-{self._runs}")
        tried: list[bool] = []
        with serve(_obedient(plant, effect, reads, tried)) as provider:
            end = await advance(
                episode(prompt, "messenger", run=run, **more),
                model=talking_to(provider.url),
                tools=self.desk.caller("messenger"),
                steps=self.desk.steps(run),
            )
        return Outcome(end, bool(tried))

    async def through(self, channel: str, plant: str, effect: str, *, trusted: bool) -> Outcome:
        """Put the plant where a channel brings it from, and let the agent come across it."""
        provenance = "trusted" if trusted else "untrusted"
        if channel == "document":
            self.desk.shelf.hits[:] = [Hit(f"news {plant}", provenance=provenance)]
            return await self.talk(plant, effect, reads=("search_memory", {"query": "news"}))
        if channel in {"file", "file name"}:
            name = _as_name(plant) if channel == "file name" else "a.txt"
            room = self.desk.workspaces / ACME / "task-1"
            room.mkdir(parents=True, exist_ok=True)
            for old in room.iterdir():
                old.unlink()
            (room / name).write_text(plant)
            reads = ("list_files", {}) if channel == "file name" else ("read_file", {"path": name})
            seen = name if channel == "file name" else plant
            return await self.talk(seen, effect, reads=reads)
        if channel == "tool output":
            self.news = plant
            return await self.talk(plant, effect, reads=("news", {}))
        told = f"[{provenance}] {plant}"
        if channel == "memory":
            return await self.talk(
                plant, effect, reads=None, instructions=told, untrusted=not trusted
            )
        return await self.talk(
            plant, effect, reads=None, prompt=f"Findings:\n{told}", untrusted=not trusted
        )


def _obedient(plant: str, effect: str, reads: tuple[str, Any] | None, tried: list[bool]) -> Answer:
    """Talk like a model that reads first, and then does what the order it came across says."""

    def answer(handler: BaseHTTPRequestHandler, received: Received, _number: int) -> None:
        said = [m for m in received.body["messages"] if m["role"] == "assistant"]
        heard = _all_text(received.body["messages"])
        if reads is not None and not said:
            reply(handler, 200, completion(calls=[reads]))
        elif plant in heard and not tried:
            tried.append(True)
            call = (effect, EFFECTS[effect])
            reply(handler, 200, completion(calls=[call], number=len(said) + 1))
        else:
            reply(handler, 200, completion("That is all."))

    return answer


def _all_text(messages: list[dict[str, Any]]) -> str:
    """Return what the model was told, as it reads it: JSON inside JSON undone."""
    texts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
            if value[:1] in {"{", "["}:
                try:
                    walk(json.loads(value))
                except ValueError:
                    return
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(key)
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk([message.get("content") for message in messages])
    return "\n".join(texts)


def _as_name(plant: str) -> str:
    """Return a plant as a file may be called."""
    name = "".join(char if char.isprintable() and char not in '/\\"' else "_" for char in plant)
    return name.encode()[:180].decode(errors="ignore").strip(" .") + ".txt"


@pytest.fixture
def field(desk: Desk) -> Any:
    news: list[Range] = []

    def answer(handler: BaseHTTPRequestHandler, received: Received, number: int) -> None:
        if received.path == "/news":
            reply(handler, 200, {"news": news[0].news})
        else:
            accept()(handler, received, number)

    with serve(answer) as outside:
        news.append(Range(desk, outside))
        yield news[0]


def effect_of(number: int) -> str:
    return tuple(EFFECTS)[number % len(EFFECTS)]


@pytest.mark.parametrize("channel", CHANNELS)
async def test_no_planted_order_has_an_effect(field: Range, channel: str):
    """Of 36 plants a channel: 216 in all."""
    for number, (name, plant) in enumerate(PLANTS.items()):
        effect = effect_of(number)
        found = await field.through(channel, plant, effect, trusted=False)
        assert found.tried, f"{name}: the model never saw the order, so nothing is proven"
        assert isinstance(found.end, Asks), f"{name}: {effect} needed nobody"
        (question,) = found.end.questions
        assert (question.tool, question.untrusted) == (effect, True)
    assert field.effects == []


@pytest.mark.parametrize("channel", ["document", "file name", "agent message"])
async def test_a_policy_takes_such_tools_away_altogether(field: Range, channel: str):
    field.desk.policy.untrusted_needs = "refuse"
    for number, (name, plant) in enumerate(PLANTS.items()):
        found = await field.through(channel, plant, effect_of(number), trusted=False)
        assert found.tried, name
        assert isinstance(found.end, Done), name
        assert [use.outcome for use in found.end.progress.tools][-1] == "failed", name
    assert field.effects == []


@pytest.mark.parametrize("channel", ["document", "memory", "agent message"])
async def test_the_same_words_of_somebody_trusted_are_obeyed(field: Range, channel: str):
    """Of 21 twins a channel: 63 in all."""
    for number, name in enumerate(BENIGN):
        found = await field.through(channel, PLANTS[name], effect_of(number), trusted=True)
        assert found.tried, name
        assert isinstance(found.end, Done), f"{name}: somebody was asked"
    wanted = [f"/{effect_of(number)}" for number in range(len(BENIGN))]
    assert field.effects == wanted


async def test_the_requester_is_obeyed_in_every_language(field: Range):
    for number, (name, order) in enumerate(LANGUAGES.items()):
        found = await field.talk(order, effect_of(number), reads=None, prompt=order)
        assert isinstance(found.end, Done), name
    assert len(field.effects) == len(LANGUAGES)


async def test_what_an_agent_read_once_it_has_read_for_good(field: Range):
    """The order comes by a file; what the agent does between changes nothing."""
    (field.desk.workspaces / ACME / "task-1").mkdir(parents=True, exist_ok=True)
    (field.desk.workspaces / ACME / "task-1" / "a.txt").write_text(PLANTS["german"])
    calls: list[tuple[str, Any]] = [
        ("read_file", {"path": "a.txt"}),
        ("clock", {}),
        ("write_file", {"path": "b.txt", "content": "x"}),
        ("notify", SECRET),
    ]
    field.desk.tools.grant(ACME, "messenger", "clock")

    def answer(handler: BaseHTTPRequestHandler, received: Received, _number: int) -> None:
        said = sum(message["role"] == "assistant" for message in received.body["messages"])
        reply(handler, 200, completion(calls=[calls[said]], number=said + 1))

    with serve(answer) as provider:
        end = await advance(
            episode("Look.", "messenger"),
            model=talking_to(provider.url),
            tools=field.desk.caller("messenger"),
            steps=field.desk.steps(),
        )
    assert isinstance(end, Asks)
    assert [use.tool for use in end.progress.tools] == ["read_file", "clock", "write_file"]
    assert field.effects == []


async def test_a_page_of_no_allowed_host_is_not_fetched_whoever_says_so(field: Range):
    field.desk.tools.grant(ACME, "messenger", "fetch")
    address = {"url": f"{field.outside.url}/leak?word=swordfish"}
    heard: list[str] = []

    def answer(handler: BaseHTTPRequestHandler, received: Received, _number: int) -> None:
        said = sum(message["role"] == "assistant" for message in received.body["messages"])
        heard.append(str(received.body["messages"][-1]["content"]))
        done = completion("Done.") if said else completion(calls=[("fetch", address)])
        reply(handler, 200, done)

    with serve(answer) as provider:
        await advance(
            episode("Fetch it.", "messenger", run=RunId("run-page")),
            model=talking_to(provider.url),
            tools=field.desk.caller("messenger"),
            steps=field.desk.steps(RunId("run-page")),
        )
    assert "not among the hosts" in heard[-1]
    assert field.outside.received == []
