"""Which blocks of a page run, and that they run as one script that stops at a failure."""

import subprocess
from pathlib import Path

import pytest

from tests.docs import runnable

PAGE = """
```bash
false
```

<!-- run -->
```bash
greeting=hello
```

Text.

<!-- run -->
```bash
echo "$greeting"
{last}
```
"""


def run(page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", runnable.script(page)], capture_output=True, text=True, check=False
    )


def test_marked_blocks_run_in_one_shell_and_the_others_do_not(tmp_path: Path):
    (page := tmp_path / "page.md").write_text(PAGE.replace("{last}", "true"))
    done = run(page)
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_a_page_stops_at_the_first_failure_and_shows_it(tmp_path: Path):
    (page := tmp_path / "page.md").write_text(PAGE.replace("{last}", "ls /nowhere\necho late"))
    done = run(page)
    assert done.returncode != 0
    assert done.stdout == "hello\n"
    assert "+ ls /nowhere" in done.stderr


def test_what_must_fail_stops_the_page_when_it_does_not(tmp_path: Path):
    (page := tmp_path / "page.md").write_text(PAGE.replace("{last}", "! false\n! true\necho late"))
    done = run(page)
    assert (done.returncode, done.stdout) == (1, "hello\n")


def test_a_mark_before_something_else_is_refused():
    with pytest.raises(ValueError, match="1 marks, 0 bash blocks"):
        runnable.blocks("<!-- run -->\n```python\nprint()\n```\n")


def test_the_tutorial_and_how_tos_have_blocks_that_run():
    names = {page.relative_to(runnable.ROOT).as_posix() for page in runnable.pages()}
    assert {"docs/tutorial.md", "docs/how-to/command-line.md"} <= names
