"""How well and how fast long-term memory finds, and how well it finds near-duplicates.

Run: `uv run python -m benchmarks.memory --data DIR [--postgres URL] [--meaning]`, where DIR holds
`cranfield/` (cran.all.1400.xml, cran.qry.xml, cranqrel.trec.txt), `npl/` (doc-text, query-text,
rlv-ass) and `xquad/` (xquad.en.json). What is not there is left out; without `--data` the sample
beside this file is used, a sixth of XQuAD.
"""

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytrec_eval

from dryad.execution.memories import Document
from dryad.foundation.clock import utc_now
from dryad.foundation.database import Database
from dryad.foundation.database.models import Base, TenantRow
from dryad.foundation.ids import TenantId
from dryad.memory.librarian import Librarian
from dryad.memory.likeness import LEAST, bands, likeness, shingles
from dryad.memory.minilm import MiniLM

Judged = dict[str, dict[str, int]]
BATCH = 100


class Corpus(NamedTuple):
    """Texts and queries by id, and which texts answer which query."""

    name: str
    documents: dict[str, Document]
    queries: dict[str, str]
    judged: Judged


def cranfield(directory: Path) -> Corpus:
    """Read the Cranfield abstracts; judgements name queries by their place."""
    xml = (directory / "cran.all.1400.xml").read_text()
    documents: dict[str, Document] = {}
    for part in re.findall(r"<doc>(.*?)</doc>", xml, re.DOTALL):
        number, title, text = (_element(part, name) for name in ("docno", "title", "text"))
        if text:
            documents[number] = Document(" ".join(title.split()), text, number)
    queries = re.findall(
        r"<title>(.*?)</title>", (directory / "cran.qry.xml").read_text(), re.DOTALL
    )
    judged: Judged = {}
    for line in (directory / "cranqrel.trec.txt").read_text().splitlines():
        query, _, document, grade = line.split()
        judged.setdefault(query, {})[document] = int(grade)
    numbered = {str(number): text for number, text in enumerate(queries, start=1)}
    return Corpus("Cranfield", documents, numbered, judged)


def npl(directory: Path) -> Corpus:
    """Read the NPL abstracts; they have no titles."""
    documents = {
        number: Document("", text, number) for number, text in _blocks(directory / "doc-text")
    }
    judged = {
        query: dict.fromkeys(answers.split(), 1)
        for query, answers in _blocks(directory / "rlv-ass")
    }
    return Corpus("NPL", documents, dict(_blocks(directory / "query-text")), judged)


def xquad(directory: Path) -> Corpus:
    """Read the English paragraphs, and the questions each of them answers."""
    data = json.loads((directory / "xquad.en.json").read_text())["data"]
    documents: dict[str, Document] = {}
    queries: dict[str, str] = {}
    judged: Judged = {}
    for paragraph in (part for article in data for part in article["paragraphs"]):
        name = str(len(documents))
        documents[name] = Document("", paragraph["context"], name)
        for question in paragraph["qas"]:
            queries[question["id"]] = question["question"]
            judged[question["id"]] = {name: 1}
    return Corpus("XQuAD-en", documents, queries, judged)


def corpora(data: Path) -> list[Corpus]:
    """Read every corpus that is there."""
    readers = {"cranfield": cranfield, "npl": npl, "xquad": xquad}
    return [read(data / name) for name, read in readers.items() if (data / name).is_dir()]


def edited(text: str, seed: random.Random) -> str:
    """Delete, repeat, misspell and swap 2-10 % of the words."""
    words = text.split()
    for _ in range(max(1, int(len(words) * seed.uniform(0.02, 0.10)))):
        at = seed.randrange(len(words) - 1)
        change = seed.randrange(4)
        if change == 0 and len(words) > 5:
            del words[at]
        elif change == 1:
            words.insert(at, seed.choice(words))
        elif change == 2:
            words[at] = words[at][::-1]
        else:
            words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def near_duplicates(corpus: Corpus) -> str:
    """Edit every text once, look for what it repeats, and return one row of the table."""
    seed = random.Random(1)
    texts = {n: d.text for n, d in corpus.documents.items() if len(d.text.split()) >= 20}
    known = {name: shingles(text) for name, text in texts.items()}
    index: dict[int, set[str]] = {}
    for name, shingled in known.items():
        for key in bands(shingled):
            index.setdefault(key, set()).add(name)
    right = wrong = 0
    began = time.process_time()
    for name, text in texts.items():
        copy = shingles(edited(text, seed))
        candidates = set[str]().union(*(index.get(key, set()) for key in bands(copy)))
        score, best = max(
            ((likeness(copy, known[one]), one) for one in candidates), default=(0, "")
        )
        if score >= LEAST:
            right += best == name
            wrong += best != name and likeness(known[best], known[name]) < LEAST
    ms = (time.process_time() - began) * 1000 / len(texts)
    precision = right / max(1, right + wrong)
    return (
        f"| {corpus.name} | {len(texts)} | {precision:.3f} | {right / len(texts):.3f} | {ms:.2f} |"
    )


def _element(xml: str, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", xml, re.DOTALL)
    return found[1].strip() if found else ""


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    for block in re.split(r"^\s*/\s*$", path.read_text(), flags=re.MULTILINE):
        number, _, text = block.strip().partition("\n")
        if number:
            yield number.strip(), text


def measure(corpus: Corpus, url: str, embedder: MiniLM | None) -> str:
    """Shelve a corpus, ask every query, and return one row of the table."""
    database = Database(url)
    Base.metadata.drop_all(database.engine)
    Base.metadata.create_all(database.engine)
    tenant = TenantId("bench")
    with database.transaction() as session:
        session.add(TenantRow(id=tenant, name="bench", status="active", created=utc_now()))
    librarian = Librarian(database)  # what shelving costs without a model
    documents = list(corpus.documents.values())
    began = time.process_time()
    for start in range(0, len(documents), BATCH):
        librarian.shelve_all(tenant, documents[start : start + BATCH])
    add_ms = (time.process_time() - began) * 1000 / len(documents)

    if embedder:
        reindexer = Librarian(database, embedder=embedder)
        while reindexer.embed_pending(tenant):
            pass
    colds: list[float] = []
    for _ in range(5):
        librarian = Librarian(database, embedder=embedder)
        began = time.process_time()
        librarian.search(tenant, "a first question")
        colds.append((time.process_time() - began) * 1000)
    cold_ms = statistics.median(colds)
    run: dict[str, dict[str, float]] = {}
    costs: list[float] = []
    for number, query in corpus.queries.items():
        began = time.process_time()
        hits = librarian.search(tenant, query, 10)
        costs.append((time.process_time() - began) * 1000)
        run[number] = {}
        for hit in hits:
            run[number].setdefault(hit.origin, hit.score)
    wanted = {"ndcg_cut_10", "recall_5"}
    scores = pytrec_eval.RelevanceEvaluator(corpus.judged, wanted).evaluate(run)
    ndcg, recall = (
        statistics.mean(score[metric] for score in scores.values())
        for metric in ("ndcg_cut_10", "recall_5")
    )
    database.close()
    return (
        f"| {corpus.name} | {database.engine.dialect.name} | {len(documents)} "
        f"| {ndcg:.3f} | {recall:.3f} | {add_ms:.3f} | {statistics.median(costs):.2f} "
        f"| {cold_ms:.0f} |"
    )


def main() -> None:
    """Print a table, one row for each corpus and database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "samples")
    parser.add_argument("--postgres", help="URL of an empty database; its tables are dropped")
    parser.add_argument("--meaning", action="store_true", help="with MiniLM; its time counts too")
    arguments = parser.parse_args()
    embedder = MiniLM.installed() if arguments.meaning else None
    found = corpora(arguments.data)
    heads = "texts | nDCG@10 | recall@5 | add, CPU ms | search, CPU ms | cold, CPU ms"
    print(f"| corpus | database | {heads} |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        urls = [f"sqlite:///{Path(directory) / 'bench.db'}", arguments.postgres]
        for corpus in found:
            for url in filter(None, urls):
                print(measure(corpus, url, embedder), flush=True)
    print("\n| edited texts of | texts | precision | recall | CPU ms |\n|---|---|---|---|---|")
    for corpus in found:
        print(near_duplicates(corpus), flush=True)


if __name__ == "__main__":
    main()
