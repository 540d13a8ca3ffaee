"""A message without an address lies where a person can read it, whole."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dryad.execution.mailbox import deliver
from dryad.foundation.ids import TenantId


def test_many_writers_tear_no_letter_and_tenants_have_boxes_of_their_own(tmp_path: Path):
    def write(number: int) -> Path:
        return deliver(tmp_path / "box", TenantId("acme"), {"n": number, "text": "x" * 5_000})

    with ThreadPoolExecutor(8) as pool:
        files = set(pool.map(write, range(40)))
    deliver(tmp_path / "box", TenantId("globex"), {"n": 0})
    (file,) = files
    assert sorted(json.loads(line)["n"] for line in file.read_text().splitlines()) == list(
        range(40)
    )
    assert file.stat().st_mode & 0o077 == 0
