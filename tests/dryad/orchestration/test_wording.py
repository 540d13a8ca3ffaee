"""Effects are heard however they are asked for, and not where they are only spoken of."""

import pytest

from dryad.orchestration.offline_planner import kind_of, offline_plan
from dryad.orchestration.wording import own_words, speaks_of


@pytest.mark.parametrize(
    "text",
    [
        "Notify the operators that the window opens",
        "ping the vendor about the report",
        "Loop in Marta from procurement on the numbers",
        "Let each of them know by mail that the account is closed",
        "Give Petra a heads-up that we are late",
        "The results should be sent to the board",
        "Summarise it and tell the team",
        "Gib bitte Frau Lehner Bescheid, dass der Termin verschoben ist",
        "Merci de prévenir le client",
        "Avisa al equipo de soporte",
    ],
)
def test_whoever_shall_be_told_is_heard(text: str):
    assert kind_of(own_words(text))[0] == "communicate"


@pytest.mark.parametrize(
    "text",
    [
        "Delete the customer records",
        "roll back checkout to 3.14.2",
        "drain node pool B",
        "bring the gateway back up with the new cert",
        "The feature flag should be switched off for everybody",
        "Can the old backups be thrown away now?",
        "Raise the minimum length to 14",
        "Give them a 150 credit",
        "If it is cheaper, go ahead and place the order",
        "Get the rate off the ECB site",
        "Starte den Mailserver neu",
        "Merci de résilier l'abonnement",
        "Cancela la reserva del hotel",
    ],
)
def test_what_changes_something_outside_is_heard(text: str):
    assert kind_of(own_words(text))[0] == "operate"


@pytest.mark.parametrize(
    "text",
    [
        "How do refunds get paid out?",
        "Explain how access is revoked",
        "Draft a mail to the customer. Don't send it",
        'Rewrite this so it sounds kinder: "We will block your access and notify the bureau"',
        "Write a checklist for admins who have to revoke a leaver's rights",
        "Summarise the deletion policy, no need to contact anyone about it",
        "drop the rows without an id (in memory is fine)",
        "tell me once it is done",
        "Resume el informe de la auditoría",
        "Entwirf ein Kündigungsschreiben. Verschickt wird noch nichts",
    ],
)
def test_what_is_only_spoken_of_is_not(text: str):
    assert {step.capability for step in offline_plan(text).steps} <= {
        "research",
        "analysis",
        "write",
    }


@pytest.mark.parametrize(
    ("text", "branches"),
    [
        ("The terms were changed in spring. Which version applies, and why?", 1),
        ("How many were reopened? Use tickets.csv, and ignore spam.", 1),
        ("Take the table, fit a regression, and use just those to score accounts.", 1),
        ("Work out the mapping; with that mapping run the query and give me the slowest.", 1),
        ("Somebody reads the contracts, someone else should model the costs of both sites.", 2),
        ("Two things for Monday: a summary of the dossiers, and separately the gross margin.", 2),
        ("Review the contracts of Ostara, Fenwick and Lumo. They are independent.", 3),
        ("Turn my notes below into minutes.\n- Ana: slipped\n- Piotr to page the on-call", 1),
    ],
)
def test_branches_are_what_need_not_wait(text: str, branches: int):
    assert len(offline_plan(text).branches()) == branches


def test_the_something_of_before_is_recognised():
    assert speaks_of("Write the scores to a file", "Compute scores for all accounts")
    assert not speaks_of("Look up the retention of logs", "Look up the retention of backups")


def test_context_stays_word_for_word_with_the_work_it_belongs_to():
    text = "We are late! Explain why, please. It matters to the board?"
    (step,) = offline_plan(text).steps
    assert step.text == text


@pytest.mark.parametrize("word", ["and ", "if ", "please ", "the ", "let a b c ", '"', "(", "A, "])
def test_a_word_said_ten_thousand_times_is_read_like_any_other(word: str):
    assert offline_plan(word * 10_000).steps
