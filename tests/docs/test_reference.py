"""The reference says what the code says, and the house's other pages leave nothing out."""

import re
from pathlib import Path

import pytest

from docs import generator
from dryad.foundation import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", generator.PAGES)
def test_what_is_committed_is_what_the_code_says(path: str):
    assert (ROOT / path).read_text() == generator.PAGES[path](), "run `uv run just reference`"


def test_every_default_in_the_example_means_the_default(tmp_path: Path):
    example = generator.dotenv()
    given = re.sub(r"^# (DRYAD_\w+=.+)$", r"\1", example, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(given)
    (untouched := tmp_path / "untouched").mkdir()
    said, origins = environment.load({}, directory=tmp_path)
    default, _ = environment.load({}, directory=untouched)
    paths = {"home", "logs", "secrets_dir", "audit_anchor", "backup_targets"}
    assert said.model_dump(exclude=paths) == default.model_dump(exclude=paths)
    assert sum("(.env)" in origin.origin for origin in origins) > len(origins) / 2
    assert set(re.findall(r"DRYAD_(\w+)=", example)) == {name.upper() for name, *_ in origins}


def test_the_readmes_commands_are_what_ci_runs():
    command = "pip install uv && uv run just test"
    assert f"\n{command}\n" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().endswith(f"\n{command}\n")


def test_every_page_is_reachable_from_the_contents():
    pages = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts
    } - {"decisions/template"}
    listed = {"index"}
    for page in pages:
        for tree in re.findall(
            r"```\{toctree\}\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL
        ):
            names = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(Path(page).parent / name).as_posix() for name in names}
    assert pages == listed


def test_every_link_between_committed_files_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in pages
        if "_build" not in path.parts
        for target in re.findall(
            r"(?<!!)\[[^]]*\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text()
        )
        if not (path.parent / target).exists()
    ]
    assert dead == []
