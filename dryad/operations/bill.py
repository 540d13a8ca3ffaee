"""A bill of materials: every package installed here, by version and content, signed.

CycloneDX 1.6 as JSON. Each component names the sha256 of its `RECORD`, the list of its files and
their hashes that came with it; so checking the bill against the machine finds a package that was
added, removed, changed to another version or changed in a single byte. The signature is a keyed
hash over the canonical JSON of everything else, with a key only this installation has.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, cast

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import Corrupt

_ALGORITHM = "HS256"
# The library's decorators hide the parameters of its classes from the type checker.
_BILL, _COMPONENT, _HASH = cast("Any", Bom), cast("Any", Component), cast("Any", HashType)


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the bill says."""

    package: str
    what: str


def make(key: bytes, installed: Iterable[Distribution] | None = None) -> bytes:
    """Return the signed bill of what is installed.

    Args:
        key: The installation's own.
        installed: The packages; default all that this Python sees.
    """
    components = [_component(one) for one in _sorted(installed)]
    bill: dict[str, Any] = json.loads(JsonV1Dot6(_BILL(components=components)).output_as_string())
    bill["signature"] = {"algorithm": _ALGORITHM}
    bill["signature"]["value"] = _signature(key, bill)
    return json.dumps(bill, indent=2, sort_keys=True).encode() + b"\n"


def verify(
    key: bytes, text: bytes, installed: Iterable[Distribution] | None = None
) -> list[Difference]:
    """Return how what is installed differs from a bill, file by file; nothing when it is the same.

    Args:
        key: The installation's own.
        text: What `make` returned.
        installed: The packages; default all that this Python sees.

    Raises:
        Corrupt: it is no bill of this installation, or it was changed.
    """
    listed = {
        str(one["name"]): (str(one["version"]), str(one["hashes"][0]["content"]))
        for one in _signed(key, text).get("components", ())
    }
    found = {_name(one): one for one in _sorted(installed)}
    differences = [Difference(name, "is gone") for name in sorted(listed.keys() - found.keys())]
    for name, one in found.items():
        if name not in listed:
            differences.append(Difference(name, f"was added: {one.version}"))
        elif listed[name] != (one.version, _content(one)):
            differences.append(Difference(name, f"is not what it was: {one.version} now"))
        else:
            differences += [Difference(name, what) for what in _changed_files(one)]
    return differences


def _signed(key: bytes, text: bytes) -> dict[str, Any]:
    """Return the bill, once its signature is proven."""
    try:
        bill = json.loads(text)
        given = bill["signature"].pop("value")
        proven = hmac.compare_digest(given, _signature(key, bill))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            "this is no signed bill of materials", "Make one: `dryad bill make`."
        ) from error
    if not proven:
        raise Corrupt(
            "the bill of materials was changed, or another installation signed it",
            "Compare it with a copy kept elsewhere before you make a new one.",
        )
    return cast("dict[str, Any]", bill)


def _signature(key: bytes, bill: Mapping[str, Any]) -> str:
    own = hmac.new(key, b"dryad bill of materials", hashlib.sha256).digest()
    mac = hmac.new(own, canonical_json(bill), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _component(one: Distribution) -> Component:
    name = _name(one)
    return _COMPONENT(
        name=name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}@{one.version}",
        purl=PackageURL("pypi", None, name, one.version),
        hashes=[_HASH(alg=HashAlgorithm.SHA_256, content=_content(one))],
    )


def _sorted(installed: Iterable[Distribution] | None) -> list[Distribution]:
    """Return each package once, as the first on the path wins."""
    every = distributions() if installed is None else installed
    first: dict[str, Distribution] = {}
    for one in every:
        first.setdefault(_name(one), one)
    return [first[name] for name in sorted(first)]


def _name(one: Distribution) -> str:
    return one.metadata["Name"].lower().replace("_", "-").replace(".", "-")


def _content(one: Distribution) -> str:
    """Return the sha256 of the list of a package's files, hex."""
    return hashlib.sha256((one.read_text("RECORD") or "").encode()).hexdigest()


def _changed_files(one: Distribution) -> Iterator[str]:
    """Yield what became of the files a package came with."""
    for file in one.files or ():
        if file.hash is None:  # of RECORD itself and of compiled files none is known
            continue
        path = Path(str(file.locate()))
        if not path.is_file():
            yield f"{file} is gone"
            continue
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, file.hash.mode).digest()
        if base64.urlsafe_b64encode(found).decode().rstrip("=") != file.hash.value:
            yield f"{file} was changed"
