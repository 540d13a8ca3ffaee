"""Files go into memory as they are, nothing outside the root does, and every refusal says why."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from dryad.execution.outside import Outside
from dryad.foundation.errors import InvalidRequest, LimitExceeded, NotFound, Refused
from dryad.memory import sources
from dryad.memory.ingest import Ingestion
from dryad.memory.librarian import Librarian
from dryad.memory.sources import (
    ANYWHERE,
    Allowed,
    Candidate,
    Ingested,
    Source,
    batches,
    survey,
)
from tests.dryad.memory.conftest import ACME, GLOBEX
from tests.dryad.memory.parse_here import PARSERS
from tests.web import Received, serve

PAGE = """<!doctype html><html><head><title>The lamp &amp; you</title><style>p{color:red}</style>
</head><body><h1>Lamp</h1><p>The lamp is <b>green</b>.</p><script>steal()</script>
<h2>Care</h2><ul><li>dust it</li></ul></body></html>"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with what should go in and what should not."""
    root = tmp_path / "library"
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "config.txt").write_text("hidden")
    (root / "guide.md").write_text("# The guide\n\nLamps are blue.\n\n## Care\n\nDust them.")
    (root / "deep" / "er" / "note.txt").write_text("A note about windows.")
    (root / "page.html").write_text(PAGE)
    (root / "README").write_text("Read me first.")
    (root / "wide.txt").write_bytes("Größe in UTF-16".encode("utf-16"))
    (root / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (root / "image.md").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (root / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "empty.md").touch()
    (root / "blank.md").write_text("  \n ")
    (root / "huge.txt").write_bytes(b"x" * 5_000_001)
    (tmp_path / "secret.md").write_text("The password is swordfish.")
    (root / "escape.md").symlink_to(tmp_path / "secret.md")
    (root / "up").symlink_to(tmp_path)
    (root / "again.md").symlink_to(root / "guide.md")
    (root / "broken.md").symlink_to(root / "nowhere.md")
    os.mkfifo(root / "pipe.txt")
    return root


def ingest(
    librarian: Librarian,
    source: Source,
    candidates: Sequence[Candidate],
    allowed: Allowed = ANYWHERE,
) -> list[Ingested]:
    ingestion = Ingestion(librarian, PARSERS, Outside(), allowed)
    return asyncio.run(ingestion.ingest(ACME, source, candidates))


def run(librarian: Librarian, source: Source, allowed: Allowed = ANYWHERE) -> dict[str, Ingested]:
    found = survey(source, allowed)
    answers = [*found.skipped]
    for batch in batches(found.candidates):
        answers += ingest(librarian, source, batch, allowed)
    assert len({answer.path for answer in answers}) == len(answers)
    return {answer.path: answer for answer in answers}


def test_everything_goes_in_or_is_skipped_with_a_reason(librarian: Librarian, root: Path):
    answers = run(librarian, Source(str(root)))
    outcomes = {path: answer.outcome for path, answer in answers.items()}
    assert {path for path, outcome in outcomes.items() if outcome == "shelved"} == {
        "guide.md", "deep/er/note.txt", "page.html", "README", "wide.txt"
    }  # fmt: skip
    for path, reason in {
        ".git": "hidden",
        "latin.txt": "binary, or not in UTF-8",
        "image.md": "binary",
        "photo.jpg": "unknown type .jpg",
        "empty.md": "empty",
        "blank.md": "empty",
        "huge.txt": "too large",
        "escape.md": "a link out of here",
        "up": "a link out of here",
        "again.md": "a link; what it names is read where it lies",
        "broken.md": "a link",
        "pipe.txt": "no regular file",
    }.items():
        assert answers[path].outcome == "skipped"
        assert reason in answers[path].reason
    assert librarian.count(ACME) == 5
    assert librarian.search(ACME, "swordfish password hidden") == []


def test_a_page_is_read_without_its_scripts(librarian: Librarian, root: Path):
    run(librarian, Source(str(root / "page.html")))
    assert librarian.search(ACME, "steal color red") == []
    hit = librarian.search(ACME, "dust")[0]
    assert (hit.title, hit.section) == ("The lamp & you", "Lamp > Care")


def test_a_deeply_nested_page_is_skipped_not_fatal(librarian: Librarian, tmp_path: Path):
    (tmp_path / "deep.html").write_text("<div>" * 20_000 + "x")
    (tmp_path / "good.md").write_text("Fine.")
    answers = run(librarian, Source(str(tmp_path)))
    assert answers["good.md"].outcome == "shelved"
    assert "nested" in answers["deep.html"].reason


def test_labels_follow_the_source(librarian: Librarian, root: Path):
    source = Source(str(root / "guide.md"), "manuals", "trusted", "lamps")
    run(librarian, source)
    hit = librarian.search(ACME, "care")[0]
    assert (hit.title, hit.category, hit.provenance) == ("The guide", "manuals", "trusted")
    assert hit.origin == "lamps/guide.md"
    run(librarian, replace(source, name="", category="others"))
    assert librarian.count(ACME) == 1


def test_done_again_it_changes_nothing_and_a_changed_file_replaces_itself(
    librarian: Librarian, root: Path
):
    run(librarian, Source(str(root)))
    before = librarian.list(ACME)
    again = run(librarian, Source(str(root)))
    assert {answer.outcome for answer in again.values()} == {"known", "skipped"}
    assert librarian.list(ACME) == before
    (root / "guide.md").write_text("# The guide\n\nLamps are yellow.")
    run(librarian, Source(str(root)))
    assert librarian.count(ACME) == len(before)
    assert librarian.search(ACME, "blue") == []
    assert librarian.search(ACME, "yellow")[0].origin == str(root / "guide.md")


def test_a_text_that_moved_is_still_found(librarian: Librarian, tmp_path: Path):
    (tmp_path / "a.md").write_text("Windmills turn.")
    run(librarian, Source(str(tmp_path)))
    (tmp_path / "a.md").rename(tmp_path / "b.md")
    (tmp_path / "a.md").write_text("Watermills turn too.")
    run(librarian, Source(str(tmp_path)))
    assert len(librarian.search(ACME, "windmills")) == 1


def test_a_file_swapped_for_a_link_after_the_survey_is_not_followed(
    librarian: Librarian, root: Path
):
    source = Source(str(root))
    found = survey(source, ANYWHERE)
    (root / "guide.md").unlink()
    (root / "guide.md").symlink_to(root.parent / "secret.md")
    (root / "deep").rename(root / "was-deep")
    (root / "deep").symlink_to(root.parent)
    (root.parent / "er").mkdir()
    (root.parent / "er" / "note.txt").write_text("swordfish")
    answers = ingest(librarian, source, found.candidates)
    assert {a.outcome for a in answers if a.path in {"guide.md", "deep/er/note.txt"}} == {"skipped"}
    assert librarian.search(ACME, "swordfish") == []


def test_another_tenant_finds_nothing_of_it(librarian: Librarian, root: Path):
    run(librarian, Source(str(root)))
    assert librarian.search(GLOBEX, "lamps windows read me") == []


@pytest.mark.parametrize("path", ["relative/path", "", "/nul\0byte"])
def test_a_path_that_is_no_place_is_refused(path: str):
    with pytest.raises(InvalidRequest):
        survey(Source(path), ANYWHERE)
    with pytest.raises(InvalidRequest, match="DRYAD's own"):
        survey(Source("/tmp", name="agent:scout"), ANYWHERE)


def test_a_path_where_nothing_is_is_said_to_be_empty(tmp_path: Path):
    with pytest.raises(NotFound):
        survey(Source(str(tmp_path / "nowhere")), ANYWHERE)


def test_too_many_files_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sources, "MAX_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.md").write_text("text")
    with pytest.raises(LimitExceeded):
        survey(Source(str(tmp_path)), ANYWHERE)


def test_batches_hold_every_candidate_once_and_stay_small():
    candidates = [Candidate(f"{n}", 100_000 if n % 7 else 1_900_000, "/") for n in range(200)]
    groups = list(batches(candidates))
    assert [one for group in groups for one in group] == candidates
    assert all(len(group) <= 50 for group in groups)
    assert all(sum(one.size_bytes for one in group) <= 2_000_000 for group in groups)


# -- what may be read at all


def test_only_what_lies_below_an_allowed_path_is_read(librarian: Librarian, root: Path):
    allowed = Allowed((root,))
    assert run(librarian, Source(str(root / "guide.md")), allowed)["guide.md"].outcome == "shelved"
    for place in (root.parent, root.parent / "secret.md", root / ".." / "secret.md", root / "up"):
        with pytest.raises(Refused, match="not below"):
            survey(Source(str(place)), allowed)
    with pytest.raises(Refused):
        survey(Source(f"{root}\n{root.parent}"), allowed)
    with pytest.raises(Refused):  # whether something is there is not told
        survey(Source("/nowhere/at/all"), allowed)


def page(handler: BaseHTTPRequestHandler, received: Received, _number: int) -> None:
    kinds = {"/page": "text/html; charset=utf-8", "/rows": "text/csv", "/image": "image/png"}
    body = PAGE.encode() if received.path == "/page" else b"name,colour\nlamp,green"
    if received.path not in kinds:
        handler.send_error(404)
        return
    handler.send_response(200)
    handler.send_header("Content-Type", kinds[received.path])
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_pages_of_allowed_hosts_are_fetched_and_no_others(librarian: Librarian):
    with serve(page) as server:
        host = server.url.removeprefix("http://")
        places = [f"{server.url}/{name}" for name in ("page", "rows", "image", "missing")]
        source = Source("\n".join([*places, "http://192.0.2.1/page"]))
        answers = run(librarian, source, Allowed(private_hosts=(host,)))
        refused = run(librarian, Source(places[0]), Allowed())
    outcomes = [answers[place] for place in places]
    assert [one.outcome for one in outcomes] == ["shelved", "shelved", "skipped", "skipped"]
    assert "image/png" in outcomes[2].reason
    assert "404" in outcomes[3].reason
    assert "not among the hosts" in answers["http://192.0.2.1/page"].reason
    assert refused[places[0]].outcome == "skipped"
    hit = librarian.search(ACME, "dust")[0]
    assert (hit.title, hit.origin) == ("The lamp & you", places[0])
    assert librarian.search(ACME, "colour lamp")[0].section == "Rows 1-1"
    assert len(server.received) == 4
