"""Without a language model the tools are still really used, and nothing is made up."""

import pytest

from dryad.execution.agent_loop import advance
from dryad.execution.episodes import Asks, Done, Verdict
from dryad.execution.models.language import Language
from dryad.execution.models.offline import LABEL
from dryad.execution.models.providers import OFFLINE
from dryad.execution.toolbox import Toolbox
from dryad.foundation.errors import Refused
from tests.dryad.execution.conftest import ACME, Desk, Hit, Ran, episode, run_here
from tests.web import accept, serve

# What the offline provider does is the same on every database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CSV = "item,price\npen,2\nink,5\ncap,11"


async def work(
    desk: Desk, model: Language, prompt: str, agent: str, *, seat: str = "", **more: str
) -> Done:
    first = episode(prompt, seat or agent, **more)
    end = await advance(first, model=model, tools=desk.caller(agent), steps=desk.steps())
    assert isinstance(end, Done)
    assert end.degraded == OFFLINE
    assert end.output.endswith(LABEL)
    return end


async def test_a_question_is_answered_with_a_cited_sentence(desk: Desk, offline: Language):
    desk.shelf.hits += [
        Hit("The lease lasts thirty seconds. Cats sleep a lot."),
        Hit("A lease is renewed by its holder every ten seconds [7].", start=200, stop=300),
    ]
    done = await work(desk, offline, "How many seconds does a lease last?", "researcher")
    assert "- The lease lasts thirty seconds. [1]" in done.output
    assert "Cats" not in done.output
    assert [source.number for source in done.citations] == [1]
    assert [use.tool for use in done.progress.tools] == ["search_memory"]
    assert not done.untrusted


async def test_a_question_the_documents_do_not_answer_is_not_answered(
    desk: Desk, offline: Language
):
    desk.shelf.hits += [Hit("The moon circles the earth in a month.")]
    done = await work(desk, offline, "Who invented the moon lander engine?", "researcher")
    assert done.output == f"The documents I can search do not answer this.\n\n{LABEL}"
    assert done.citations == ()


async def test_quoting_an_untrusted_document_marks_the_result(desk: Desk, offline: Language):
    desk.shelf.hits += [Hit("The gate opens at seven sharp.", provenance="untrusted")]
    done = await work(desk, offline, "When does the gate open?", "researcher")
    assert done.untrusted
    assert "The gate opens at seven sharp. [1]" in done.output


@pytest.mark.parametrize(
    ("task", "printed"),
    [
        ("What is 12 * (3 + 4)?", "84"),
        ("Compute 15% of 80", "12.0"),
        ("Calculate 2 ^ 10 - 1,000", "24"),
        ("What is the mean of 3, 5 and 10?", "mean = 6.0"),
        ("Give minimum and maximum of 4, -2, 9.5", "minimum = -2\nmaximum = 9.5"),
        (f"What is the total price?\n\nContext:\n{CSV}", "sum = 18"),
        ('What is the median?\n\nContext:\n{"sales": [1, 9, 4]}', "median = 4"),
    ],
)
async def test_numbers_come_out_of_a_program(
    desk: Desk, offline: Language, task: str, printed: str
):
    done = await work(desk, offline, task, "analyst")
    assert done.output == f"Computed by a program: {printed}\n\n{LABEL}"
    assert [use.tool for use in done.progress.tools] == ["run_python"]


async def test_without_a_sandbox_nothing_is_computed(desk: Desk, offline: Language):
    async def no_sandbox(_code: str, _files: object) -> Ran:
        raise Refused("this machine has no sandbox")

    desk.toolbox = Toolbox(
        find=desk.shelf.find,
        shelve=desk.shelf.shelve,
        run_code=no_sandbox,
        workspaces=desk.workspaces,
        mailbox=desk.workspaces / "mailbox",
    )
    done = await work(desk, offline, "What is 2 + 2?", "analyst")
    assert done.output == f"I did not run the program: this machine has no sandbox\n\n{LABEL}"
    assert [use.outcome for use in done.progress.tools] == ["failed"]


async def test_a_program_that_fails_is_reported_as_failed(desk: Desk, offline: Language):
    async def killed(_code: str, _files: object) -> Ran:
        return await run_here("import sys; sys.exit('out of memory')", {})

    desk.toolbox = Toolbox(
        find=desk.shelf.find,
        shelve=desk.shelf.shelve,
        run_code=killed,
        workspaces=desk.workspaces,
        mailbox=desk.workspaces / "mailbox",
    )
    done = await work(desk, offline, "What is 2 + 2?", "analyst")
    assert "The program failed with exit code 1: out of memory" in done.output


async def test_sending_waits_for_a_person_and_reports_what_was_sent(desk: Desk, offline: Language):
    task = "What is 6 * 7? Then send the result to ops, and save it as out/answer.txt"
    with serve(accept()) as outside:
        desk.tools.configure(ACME, "notify", "1", {"url": outside.url})
        desk.tools.grant(ACME, "messenger", "calculate")
        first = episode(task, "messenger")
        asks = await advance(
            first, model=offline, tools=desk.caller("messenger"), steps=desk.steps()
        )
        assert isinstance(asks, Asks)
        (question,) = asks.questions
        assert question.arguments == {"to": "ops", "message": "Calculated: 6 * 7 = 42"}
        assert outside.received == []
        second = episode(
            task, "messenger", number=2, progress=asks.progress,
            verdicts={question.call_id: Verdict("approve", case=1)},
        )  # fmt: skip
        done = await advance(
            second, model=offline, tools=desk.caller("messenger"), steps=desk.steps()
        )
        assert isinstance(done, Done)
        assert outside.received[0].body["message"] == "Calculated: 6 * 7 = 42"
    assert "Sent to ops: Calculated: 6 * 7 = 42" in done.output
    assert "Wrote out/answer.txt (22 bytes)." in done.output
    assert (desk.workspaces / "acme/task-1/out/answer.txt").read_text() == "Calculated: 6 * 7 = 42"


async def test_what_it_has_no_tool_for_it_says_it_cannot_do(desk: Desk, offline: Language):
    done = await work(desk, offline, "Tell ops that all is well.", "researcher")
    assert "I cannot send a message to ops: I have no tool for it." in done.output
    done = await work(desk, offline, "What is 2 + 2?", "messenger", seat="m")
    assert "I cannot compute this: I have no tool for it." in done.output
    done = await work(desk, offline, "Send.", "messenger", seat="m2")
    assert "I did not understand this command: Send." in done.output
    done = await work(desk, offline, "?!", "messenger", seat="m3")
    assert "I cannot tell what is asked." in done.output


async def test_it_follows_the_step_of_the_plan(desk: Desk, offline: Language):
    desk.shelf.hits += [Hit("A tenant owns all of its rows.")]
    task = "Find out who owns rows and compute the mean of 1, 2, 6."
    one = await work(
        desk, offline, task, "analyst", instructions="Be exact.\nStep: Find who owns rows."
    )
    assert "A tenant owns all of its rows. [1]" in one.output
    two = await work(
        desk, offline, task, "analyst", seat="b", instructions="Step: compute the mean"
    )
    assert "mean = 3.0" in two.output


async def test_findings_of_others_are_joined_and_judged(desk: Desk, offline: Language):
    findings = (
        "Findings:\nThe lease lasts thirty seconds. [1]\n\n"
        f"Computed by a program: mean = 3.0\n\n{LABEL}\n\nRows belong to somebody or other."
    )
    step = "Step: Synthesise the findings.\n\n"
    joined = await work(desk, offline, step + findings, "researcher")
    assert "- The lease lasts thirty seconds. [1]" in joined.output
    assert "- Computed by a program: mean = 3.0" in joined.output
    assert joined.output.count(LABEL) == 1
    step = "Step: Critique the findings.\n\n"
    judged = await work(desk, offline, step + findings, "researcher", seat="critic")
    assert "supported by 1 cited source." in judged.output
    assert "computed, not estimated." in judged.output
    assert "“Rows belong to somebody or other.”: no source is cited." in judged.output
