"""Where restores keep their things under the home."""

from pathlib import Path


def restores(home: Path) -> Path:
    """A directory for each restore; no set holds it."""
    return home / "restores"


def request_file(home: Path) -> Path:
    """Where a request to switch lies while nobody has acted on it."""
    return restores(home) / "request.json"
