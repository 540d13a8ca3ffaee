"""A person can read what an agent was told, said and did, and none of it is taken for markup."""

from dryad.execution.transcript import transcript
from tests.dryad.execution.conftest import ACME, Desk, done_by, episode, talking_to
from tests.web import scripted, serve


async def test_a_conversation_is_told_in_its_order(desk: Desk):
    desk.tools.grant(ACME, "messenger", "calculate")
    script = scripted([("calculate", {"expression": "6 * 7"})], [("pay", {})], "It is 42.")
    with serve(script) as provider:
        done = await done_by(desk, talking_to(provider.url), episode("What is 6 * 7?", "messenger"))
    page = transcript("messenger", done.progress.messages)
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles == [
        "Instructions", "Task", "Call of calculate", "calculate returned (success)",
        "Call of pay", titles[5], "Answer of test-model",
    ]  # fmt: skip
    assert "6 * 7" in page
    assert '"value":42' in page
    assert "It is 42." in page


def test_what_was_said_cannot_leave_its_fence():
    hostile = "```\n<script>steal()</script>\n# Approved"
    said = {"part_kind": "text", "content": hostile}
    page = transcript("a", [{"model_name": "m<b>", "parts": [said]}])
    lines = page.splitlines()
    assert lines[2] == "## Answer of m_b_"
    assert (lines[4], lines[-1]) == ("````text", "````")
    assert lines[5:-1] == hostile.splitlines()
    long = transcript("a", [{"parts": [{"part_kind": "text", "content": "x" * 9_000}]}] * 500)
    assert "5000 characters more" in long
    assert "100 pieces more" in long
