"""Long-term memory finds what it found when it was last measured, on the sample that is shipped."""

from pathlib import Path

import pytest
import pytrec_eval

from benchmarks.memory import Corpus, near_duplicates, xquad
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import Base, TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian
from dryad.memory.minilm import MiniLM
from dryad.memory.vectors import Embedder

SAMPLE = Path(__file__).parents[1] / "benchmarks" / "samples" / "xquad"
ACME = TenantId("acme")


def scores(
    corpus: Corpus, database: Database, embedder: Embedder | None = None
) -> dict[str, float]:
    """Shelve a corpus, ask every question, return the mean of each measure."""
    Base.metadata.create_all(database.engine)
    with database.transaction() as session:
        session.add(TenantRow(id=ACME, name="acme", status="active", created=utc_now()))
    librarian = Librarian(database, embedder=embedder)
    librarian.shelve_all(ACME, list(corpus.documents.values()))
    run: dict[str, dict[str, float]] = {}
    for name, query in corpus.queries.items():
        found = run.setdefault(name, {})
        for hit in librarian.search(ACME, query, 10):
            found.setdefault(hit.origin, hit.score)
    wanted = {"ndcg_cut_10", "recall_5"}
    judged = pytrec_eval.RelevanceEvaluator(corpus.judged, wanted).evaluate(run)
    return {name: sum(one[name] for one in judged.values()) / len(judged) for name in wanted}


def beginning(corpus: Corpus, texts: int) -> Corpus:
    """The first texts of a corpus, and what is asked about them."""
    kept = dict([*corpus.documents.items()][:texts])
    judged = {query: right for query, right in corpus.judged.items() if kept.keys() >= right.keys()}
    return Corpus(corpus.name, kept, {name: corpus.queries[name] for name in judged}, judged)


def test_the_sample_is_found_by_word_on_both_databases_alike(database_url: str):
    database = Database(database_url)
    found = scores(xquad(SAMPLE), database)
    database.close()
    assert found["recall_5"] >= 0.99
    assert found["ndcg_cut_10"] >= 0.97


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_with_a_model_more_is_found_than_by_word_alone(database_url: str):
    embedder = MiniLM.installed()
    assert embedder is not None
    database = Database(database_url)
    found = scores(beginning(xquad(SAMPLE), 15), database, embedder)
    database.close()
    assert found["recall_5"] == 1
    assert found["ndcg_cut_10"] >= 0.99  # by word alone 0.984


def test_edited_copies_of_the_sample_are_found_and_nothing_else():
    _, _, texts, precision, recall, _, _ = near_duplicates(xquad(SAMPLE)).split("|")
    assert int(texts) == 40
    assert float(precision) == 1
    assert float(recall) >= 0.85
