"""A bill of materials tells what is installed, and finds every byte that changed since."""

import base64
import hashlib
import json
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from dryad.foundation.errors import Corrupt
from dryad.operations import bill

KEY = b"k" * 32


def package(site: Path, name: str, version: str = "1.0", code: str = "x = 1\n") -> Distribution:
    """Install a package of one module, as an installer does."""
    (site / f"{name}.py").write_text(code)
    known = site / f"{name}-{version}.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    value = base64.urlsafe_b64encode(hashlib.sha256(code.encode()).digest()).decode().rstrip("=")
    lines = f"{name}.py,sha256={value},{len(code)}\n{known.name}/RECORD,,\n"
    (known / "RECORD").write_text(lines)
    return PathDistribution(known)


def told(text: bytes, installed: list[Distribution]) -> list[tuple[str, str]]:
    return [(one.package, one.what) for one in bill.verify(KEY, text, installed)]


def test_a_bill_is_cyclonedx_and_names_everything_that_is_installed():
    text = bill.make(KEY)
    made = json.loads(text)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    plain = {name: value for name, value in made.items() if name != "signature"}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(plain)) is None
    listed = {one["name"]: one for one in made["components"]}
    assert {"dryad", "prefect", "sqlalchemy", "pytest"} <= listed.keys()
    assert listed["prefect"]["purl"] == f"pkg:pypi/prefect@{listed['prefect']['version']}"
    assert all(len(one["hashes"][0]["content"]) == 64 for one in listed.values())
    assert [one for one in bill.verify(KEY, text) if one.package == "prefect"] == []


def test_what_was_added_removed_replaced_or_changed_is_named(tmp_path: Path):
    first, second = package(tmp_path, "first"), package(tmp_path, "second")
    text = bill.make(KEY, [first, second])
    assert told(text, [first, second]) == []
    assert told(text, [first]) == [("second", "is gone")]
    third = package(tmp_path, "third")
    assert told(text, [first, second, third]) == [("third", "was added: 1.0")]
    (tmp_path / "newer").mkdir()
    newer = package(tmp_path / "newer", "second", "1.1")
    assert told(text, [first, newer]) == [("second", "is not what it was: 1.1 now")]
    (tmp_path / "first.py").write_text("x = 2\n")
    assert told(text, [first, second]) == [("first", "first.py was changed")]
    (tmp_path / "first.py").unlink()
    assert told(text, [first, second]) == [("first", "first.py is gone")]
    # With its hash put right in the package's own list, the list itself is another one.
    (tmp_path / "first-1.0.dist-info" / "RECORD").write_text("first.py,,\n")
    assert told(text, [first, second]) == [("first", "is not what it was: 1.0 now")]


def test_a_bill_that_was_changed_or_that_others_signed_is_refused(tmp_path: Path):
    installed = [package(tmp_path, "first")]
    text = bill.make(KEY, installed)
    for forged in (text.replace(b'"1.0"', b'"1.1"'), bill.make(b"j" * 32, installed)):
        with pytest.raises(Corrupt, match="was changed, or another installation"):
            bill.verify(KEY, forged, installed)
    unsigned = {k: v for k, v in json.loads(text).items() if k != "signature"}
    for odd in (b"", b"[]", b'{"signature": 1}', json.dumps(unsigned).encode()):
        with pytest.raises(Corrupt, match="no signed bill"):
            bill.verify(KEY, odd, installed)
