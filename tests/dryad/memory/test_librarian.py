"""Long-term memory finds what was shelved, cites it exactly, and keeps tenants apart."""

import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dryad.execution.memories import Document
from dryad.foundation.database import Database
from dryad.foundation.errors import InvalidRequest, NotFound
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian
from tests.dryad.memory.conftest import ACME, GLOBEX, Hands

OWLS = Document(
    "Owls", "# Owls\n\nOwls hunt at night.\n\n## Eyes\n\nTheir eyes are big.", "owls.md"
)
BEES = Document("Bees", "Bees make honey. They dance to tell where flowers are.", "bees.md")


def found(librarian: Librarian, query: str, tenant: TenantId = ACME, **more: object) -> list[str]:
    return [passage.document for passage in librarian.search(tenant, query, 10, **more)]  # type: ignore[arg-type]


def test_a_hit_can_be_cited_exactly(librarian: Librarian):
    shelved = librarian.shelve(ACME, replace(OWLS, provenance="untrusted", agent="scout"))
    librarian.shelve(ACME, BEES)
    hit = librarian.search(ACME, "How big is an owl's eye?")[0]
    assert hit.document == shelved.id
    assert hit.text == OWLS.text[hit.start : hit.stop] == "## Eyes\n\nTheir eyes are big."
    assert (hit.title, hit.section, hit.origin) == ("Owls", "Owls > Eyes", "owls.md")
    assert (hit.provenance, hit.agent) == ("untrusted", "scout")
    assert hit.score == sum(hit.parts.values()) > 0


def test_the_better_passage_comes_first_and_strangers_do_not_come(librarian: Librarian):
    bees = librarian.shelve(ACME, BEES).id
    librarian.shelve(ACME, Document("Honey cake", "A cake with flour and eggs.", "cake.md"))
    librarian.shelve(ACME, OWLS)
    assert found(librarian, "where do bees find honey")[0] == bees
    assert len(found(librarian, "honey")) == 2
    assert found(librarian, "submarine") == []


def test_words_are_found_in_other_forms_scripts_and_cases(librarian: Librarian):
    texts = (
        "Flüsse fließen",
        "東京都に住む",
        "서울 여행",
        "shelve_all(documents)",
        "ＷＩＤＥ CAFÉ",
    )
    ids = [librarian.shelve(ACME, Document(text, text, "o")).id for text in texts]
    for query, place in (
        ("FLUSSE", 0), ("fliessen", 0), ("東京", 1), ("서울", 2), ("shelving", 3), ("wide cafe", 4)
    ):  # fmt: skip
        assert found(librarian, query)[:1] == [ids[place]]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=80) | st.sampled_from(['"', "a AND", "NEAR(", "x*", "-", "';--", "col:a"]))
def test_any_text_is_a_safe_query(librarian: Librarian, query: str):
    for hit in librarian.search(ACME, query):
        assert hit.score > 0


def test_the_same_words_of_one_owner_are_kept_once(librarian: Librarian):
    first = librarian.shelve(ACME, BEES)
    again = librarian.shelve(ACME, replace(BEES, text=f"\n  {BEES.text.upper()} ", title="Other"))
    assert (again.id, again.duplicate_of) == (first.id, first.id)
    assert librarian.count(ACME) == 1
    other = librarian.shelve(ACME, replace(BEES, agent="scout"))
    assert other.duplicate_of is None
    assert len(found(librarian, "honey")) == 2


def test_text_that_anyone_untrusted_brought_stays_untrusted(librarian: Librarian):
    librarian.shelve(ACME, replace(BEES, provenance="trusted"))
    librarian.shelve(ACME, replace(BEES, provenance="untrusted"))
    librarian.shelve(ACME, replace(BEES, provenance="trusted"))
    assert librarian.search(ACME, "honey")[0].provenance == "untrusted"


def test_what_is_withdrawn_is_not_found_until_it_is_shelved_again(librarian: Librarian):
    bees = librarian.shelve(ACME, BEES).id
    owls = librarian.shelve(ACME, OWLS).id
    assert found(librarian, "honey") == [bees]
    librarian.withdraw(ACME, bees)
    assert found(librarian, "honey") == []
    assert found(librarian, "eyes at night")[0] == owls
    assert librarian.count(ACME) == 1
    with pytest.raises(NotFound):
        librarian.read(ACME, bees)
    back = librarian.shelve(ACME, BEES)
    assert (back.id, back.duplicate_of) == (bees, None)
    assert found(librarian, "honey") == [bees]


def test_a_new_text_from_the_same_origin_replaces_the_old_one(librarian: Librarian):
    librarian.shelve(ACME, BEES, replace=True)
    foreign = librarian.shelve(ACME, replace(BEES, agent="scout"))
    new = librarian.shelve(ACME, replace(BEES, text="Bees make wax, and honey too."), replace=True)
    assert sorted(found(librarian, "honey")) == sorted([foreign.id, new.id])
    assert librarian.shelve(ACME, BEES, replace=True).duplicate_of is None
    assert found(librarian, "wax") == []


def test_forgetting_removes_every_byte(librarian: Librarian, ledger: Database):
    secret = "xylophone-7731"
    kept = librarian.shelve(ACME, OWLS).id
    gone = librarian.shelve(ACME, Document("S", f"The word is {secret}.", "s.md"))
    assert found(librarian, secret) == [gone.id]
    assert librarian.forget(ACME, gone.id) == 1
    assert found(librarian, "xylophone") == []
    assert found(librarian, "owls") == [kept, kept]
    with pytest.raises(NotFound):
        librarian.forget(ACME, gone.id)
    if ledger.is_sqlite:
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert secret.encode() not in Path(str(ledger.url.database)).read_bytes()


def test_filters_narrow_a_search(librarian: Librarian):
    librarian.shelve(ACME, replace(BEES, category="insects"))
    mine = librarian.shelve(ACME, replace(BEES, agent="scout", text="Honey of mine")).id
    assert found(librarian, "honey", category="birds") == []
    assert len(found(librarian, "honey", category="insects")) == 1
    assert found(librarian, "honey", agents=["scout"]) == [mine]
    assert found(librarian, "honey", agents=[]) == []
    assert [kept.category for kept in librarian.list(ACME, category="insects")] == ["insects"]


def test_a_document_with_much_to_say_leaves_room_for_others(librarian: Librarian):
    body = "\n\n".join(f"# Part {n}\n\nHoney honey bee {'and more ' * 50}" for n in range(12))
    long = librarian.shelve(ACME, Document("", body, "long.md")).id
    short = librarian.shelve(ACME, Document("", "Honey bee " + "and more " * 60, "short.md")).id
    ranked = librarian.search(ACME, "honey bee", 5)
    assert ranked[0].document == long
    assert short in [hit.document for hit in ranked]
    assert [hit.score for hit in ranked] == sorted((h.score for h in ranked), reverse=True)
    assert all(hit.score == pytest.approx(sum(hit.parts.values())) for hit in ranked)


DETAILS = {"team": "red", "year": 2020, "draft": True, "by": None, "share": 0.5, "x y": "'\""}


@pytest.mark.parametrize("name", DETAILS)
def test_details_narrow_a_search_by_kind_and_value(librarian: Librarian, name: str):
    mine = librarian.shelve(ACME, replace(BEES, details=DETAILS)).id
    others = {"team": "blue", "year": "2020", "draft": 1, "by": "", "share": 0.25}
    librarian.shelve(ACME, replace(BEES, text="Honey of others", details=others))
    librarian.shelve(ACME, replace(BEES, text="Honey of nobody"))
    assert found(librarian, "honey", details={name: DETAILS[name]}) == [mine]
    assert found(librarian, "honey", details={name: DETAILS[name], "of": "bees"}) == []


def test_times_narrow_a_search(librarian: Librarian, clock: Hands):
    early = librarian.shelve(ACME, BEES).id
    clock.move(hours=1)
    noon = clock()
    late = librarian.shelve(ACME, replace(BEES, text="Honey at noon")).id
    assert found(librarian, "honey", since=noon) == [late]
    assert found(librarian, "honey", until=noon) == [early]
    assert found(librarian, "honey", since=noon, until=noon) == []


@pytest.mark.parametrize(
    "filters",
    [
        {"details": {'a"b': 1}},
        {"details": {"a": [1]}},
        {"details": {f"n{n}": n for n in range(11)}},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 - the mistake that is refused
    ],
)
def test_a_malformed_filter_is_refused(librarian: Librarian, filters: dict[str, object]):
    with pytest.raises(InvalidRequest):
        found(librarian, "honey", **filters)


def test_a_tenant_never_sees_or_touches_the_documents_of_another(librarian: Librarian):
    secret = librarian.shelve(ACME, BEES).id
    librarian.shelve(GLOBEX, OWLS)
    assert found(librarian, "honey", GLOBEX) == []
    assert secret not in [kept.id for kept in librarian.list(GLOBEX)]
    for attempt in (librarian.read, librarian.withdraw, librarian.forget):
        with pytest.raises(NotFound):
            attempt(GLOBEX, secret)
    assert found(librarian, "honey") == [secret]


def test_other_tenants_do_not_move_a_score(librarian: Librarian):
    for document in (BEES, OWLS):
        librarian.shelve(ACME, document)
    before = librarian.search(ACME, "bees at night")
    for n in range(20):
        librarian.shelve(GLOBEX, Document("B", f"bees bees night {n}", f"{n}"))
    assert librarian.search(ACME, "bees at night") == before


WORDS = st.sampled_from(
    ["owl", "bee", "night", "honey", "eye", "dance", "flower", "hunt", "wing", "nest"]
)
STEP = st.tuples(
    st.sampled_from([ACME, GLOBEX]),
    st.sampled_from(["shelve", "shelve", "withdraw", "forget", "search"]),
    st.lists(WORDS, min_size=1, max_size=8).map(" ".join),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, max_size=12))
def test_a_long_lived_process_ranks_as_a_fresh_one_and_tenants_stay_apart(
    ledger: Database, librarian: Librarian, steps: list[tuple[TenantId, str, str]]
):
    for tenant, what, text in steps:
        living = librarian.list(tenant)
        if what == "shelve":
            librarian.shelve(tenant, Document(f"of {tenant}", text, text))
        elif what == "search":
            hits = librarian.search(tenant, text, 50)
            assert hits == Librarian(ledger).search(tenant, text, 50)
            assert {hit.title for hit in hits} <= {f"of {tenant}"}
            assert {hit.document for hit in hits} <= {kept.id for kept in living}
        elif living:
            getattr(librarian, what)(tenant, living[0].id)


def test_writers_at_once_lose_nothing_and_readers_see_it_all(librarian: Librarian):
    def write(writer: int) -> None:
        for n in range(10):
            librarian.shelve(ACME, Document("T", f"honey number {writer} {n}", f"{writer}/{n}"))
            librarian.search(ACME, "honey")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({hit.document for hit in librarian.search(ACME, "honey", 100)}) == 40


@pytest.mark.parametrize(
    "document",
    [
        replace(BEES, text="  \n "),
        replace(BEES, text="nul \0 byte"),
        replace(BEES, text="lone \ud800 half"),
        replace(BEES, text="x" * 5_000_001),
        replace(BEES, title="t" * 1_001),
        replace(BEES, category="Not A Name"),
        replace(BEES, details={"when": {1, 2}}),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_happened(
    librarian: Librarian, document: Document
):
    with pytest.raises(InvalidRequest):
        librarian.shelve_all(ACME, [OWLS, document])
    assert librarian.count(ACME) == 0


def test_an_unknown_tenant_is_told_so(librarian: Librarian):
    with pytest.raises(NotFound, match="initech"):
        librarian.shelve(TenantId("initech"), BEES)
    assert librarian.search(TenantId("initech"), "honey") == []


@pytest.mark.parametrize(("query", "limit"), [("x" * 10_001, 5), ("x", 0), ("x", 101)])
def test_a_search_out_of_bounds_is_refused(librarian: Librarian, query: str, limit: int):
    with pytest.raises(InvalidRequest):
        librarian.search(ACME, query, limit)


def test_a_document_is_read_back_whole(librarian: Librarian):
    text = "# One\n\nFirst.\n\n# Two\n\n" + "Sentence of some length. " * 80
    shelved = librarian.shelve(ACME, Document("T", text, "t.md", details={"by": "hand"}))
    kept = librarian.read(ACME, shelved.id)
    assert kept.details == {"by": "hand"}
    assert len(kept.passages) == shelved.passages
    for _, start, piece in kept.passages:
        assert text[start : start + len(piece)] == piece


def test_a_text_stays_while_one_of_its_origins_has_it(librarian: Librarian):
    text = Document("T", "The lamp is green.", "b.md")
    kept = librarian.shelve(ACME, text).id
    for origin in ("a.md", "c.md", "a.md"):
        again = librarian.shelve(ACME, replace(text, origin=origin), replace=True)
        assert (again.id, again.duplicate_of) == (kept, kept)
    librarian.shelve(ACME, replace(text, text="Another lamp.", origin="b.md"), replace=True)
    assert librarian.read(ACME, kept).origin == "a.md"
    librarian.shelve(ACME, replace(text, text="A third lamp.", origin="c.md"), replace=True)
    assert [hit.document for hit in librarian.search(ACME, "green lamp", 1)] == [kept]
    librarian.shelve(ACME, replace(text, agent="scout", origin="a.md", text="x"), replace=True)
    assert librarian.read(ACME, kept), "somebody else's origin is another"
    assert librarian.withdraw_from(ACME, "", ["a.md", "nowhere"]) == 1
    with pytest.raises(NotFound):
        librarian.read(ACME, kept)
    assert {hit.text for hit in librarian.search(ACME, "lamp", 9)} == {
        "Another lamp.", "A third lamp.",
    }  # fmt: skip


def test_texts_that_change_places_are_all_found(librarian: Librarian):
    one, other = Document("T", "First words.", "a"), Document("T", "Second words.", "b")
    librarian.shelve_all(ACME, [one, other], replace=True)
    swapped = [replace(one, origin="b"), replace(other, origin="a")]
    for batch in ([swapped], [[swapped[0]], [swapped[1]]]):
        for documents in batch:
            librarian.shelve_all(ACME, documents, replace=True)
        found = {hit.origin: hit.text for hit in librarian.search(ACME, "words", 9)}
        assert found == {"b": "First words.", "a": "Second words."}
