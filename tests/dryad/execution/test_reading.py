"""What a plainly written task asks, and which sentences answer it."""

import pytest

from dryad.execution.models.errands import Action, read_task
from dryad.execution.models.extracts import best_sentences, content_words
from dryad.execution.models.sums import find_sum


@pytest.mark.parametrize(
    ("task", "question", "actions"),
    [
        ("Notify ops: Done. All is green: really.", "",
         [Action("notify", "ops", "Done. All is green: really.")]),
        ("Send “Ship it” to release@example.org", "",
         [Action("notify", "release@example.org", "Ship it")]),
        ("Tell me what a lease is.", "Tell me what a lease is.", []),
        ("Find the limit and then notify ops about it", "Find the limit",
         [Action("notify", "ops", "")]),
        ("Write 'a: b' to notes/x.txt", "", [Action("write_file", "notes/x.txt", "a: b")]),
        ("Write a summary of the lease", "Write a summary of the lease", []),
        ("Save the answer as a.md and tell Ann that it is there", "",
         [Action("write_file", "a.md", ""), Action("notify", "Ann", "it is there")]),
    ],
)  # fmt: skip
def test_a_task_is_read(task: str, question: str, actions: list[Action]):
    reading = read_task(task)
    assert (reading.question, list(reading.actions), reading.unclear) == (question, actions, ())


@pytest.mark.parametrize(
    "text",
    [
        "What happened on 2024-10-12?",
        "Use version 3.8.8 of it",
        "It takes 2-3 days, 24/7",
        "Call 555-1234",
        "What is a lease?",
        "The total of it",
        "What is 1 / 0?",
    ],
)
def test_what_is_no_sum_is_not_computed(text: str):
    assert find_sum(text) is None


def test_the_rarer_words_decide_and_ties_keep_the_order():
    passages = ["The worker polls often here. The lease of a worker lapses.", "The worker sleeps."]
    quotes = best_sentences("When does the worker's lease lapse?", passages)
    assert [(quote.place, quote.text) for quote in quotes] == [(0, "The lease of a worker lapses.")]
    assert best_sentences("the of and", passages) == []
    assert content_words("What is the lease of a worker?") == ["lease", "worker"]
