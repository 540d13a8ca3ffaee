"""Read labelled requests: TaskBench as its authors published it, or a file of one's own."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dryad.foundation.errors import InvalidRequest, NotFound

NAME = "TaskBench"
ORIGIN = "https://github.com/microsoft/JARVIS/tree/main/taskbench"
LICENCE = "MIT"
DOMAINS = ("dailylifeapis", "huggingface", "multimedia")


@dataclass(frozen=True)
class Labelled:
    """Requests of one domain; `several[i]` says whether the i-th takes more than one step."""

    domain: str
    texts: tuple[str, ...]
    several: tuple[bool, ...]


def read_taskbench(directory: Path) -> list[Labelled]:
    """Read `data_<domain>/{user_requests,alignment_ids}.json`, each domain's requests once.

    A request labelled `single` takes one tool, one labelled `chain` or `dag` several; what is
    labelled both ways, or not at all, is left out.

    Raises:
        NotFound: a domain's files are not there.
        InvalidRequest: they hold something else.
    """
    return [_domain(directory / f"data_{domain}", domain) for domain in DOMAINS]


def checksums(directory: Path) -> dict[str, str]:
    """Return the sha256 of every file `read_taskbench` reads."""
    return {
        f"data_{domain}/{name}": hashlib.sha256(
            (directory / f"data_{domain}" / name).read_bytes()
        ).hexdigest()
        for domain in DOMAINS
        for name in ("user_requests.json", "alignment_ids.json")
    }


def _domain(folder: Path, domain: str) -> Labelled:
    try:
        lines = (folder / "user_requests.json").read_text(encoding="utf-8").splitlines()
        aligned = json.loads((folder / "alignment_ids.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(
            f"{folder} holds no TaskBench domain: {error.strerror}",
            f"Get it from {ORIGIN} and name the directory that holds data_{domain}.",
        ) from error
    except ValueError as error:
        raise InvalidRequest(f"{folder} is not TaskBench: {error}") from error
    labels = aligned["node_alignment_id"]
    single, several = set(labels["single"]), {*labels["chain"], *labels["dag"]}
    found: dict[str, str] = {}
    for request in _objects(lines, folder):
        found.setdefault(request["id"], request["user_request"])
    known = {id_: text for id_, text in found.items() if (id_ in single) != (id_ in several)}
    return Labelled(domain, tuple(known.values()), tuple(id_ in several for id_ in known))


def _objects(lines: Sequence[str], folder: Path) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise InvalidRequest(f"{folder} is not TaskBench: {error}") from error
