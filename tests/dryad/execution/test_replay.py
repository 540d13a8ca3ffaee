"""A process may die around an effect: it is asked about exactly when it may have happened.

That a whole run survives its processes is shown in `test_kills.py`.
"""

from collections import Counter
from typing import Any

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Episode
from dryad.execution.models.language import Language
from dryad.foundation.ids import RunId
from tests.dryad.execution.conftest import ACME, Desk, episode, talking_to
from tests.dryad.execution.mortal import Mortal
from tests.web import accept, scripted, serve

SCRIPT = scripted(
    [("notify", {"to": "ops", "message": "one"})],
    [("write_file", {"path": "a.txt", "content": "hi"}), ("calculate", {"expression": "6 * 7"})],
    [("notify", {"to": "ops", "message": "two"}), ("notify", {"to": "ops", "message": "three"})],
    "All done.",
)


class Killed(Exception):
    """The process is gone."""


def killed() -> None:
    raise Killed


async def attempt(desk: Desk, model: Language, what: Episode, dies_at: int = 0) -> Any:
    """Carry the run as one process; None when it died."""
    steps = Mortal(desk.steps(what.run), dies_at, killed)
    try:
        return await advance(what, model=model, tools=desk.caller("messenger"), steps=steps)
    except Killed:
        return None
    finally:
        desk.moments = steps.moments


async def test_a_doubtful_effect_is_announced_exactly_where_it_may_have_happened(desk: Desk):
    desk.policy.approval_tier = "authority"
    desk.tools.grant(ACME, "messenger", "calculate")
    found: list[tuple[str, int]] = []
    with serve(accept()) as outside, serve(SCRIPT) as provider:
        desk.tools.configure(ACME, "notify", "1", {"url": outside.url})
        model = talking_to(provider.url)
        for dies_at in range(5, 10):  # around the first call: announced, made, recorded
            outside.received.clear()
            run = RunId(f"run-{dies_at}")
            assert await attempt(desk, model, episode("Go.", "messenger", run=run), dies_at) is None
            end = await attempt(desk, model, episode("Go.", "messenger", run=run))
            found.append((type(end).__name__, Counter(
                letter.body["message"] for letter in outside.received)["one"]))  # fmt: skip
    assert found == [("Done", 1), ("Asks", 0), ("Asks", 1), ("Done", 1), ("Done", 1)]
