"""A Docker engine of our own, and an image in which this machine's programs can be seen."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import wait_for

IMAGE = "dryad-test:here"
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}


@contextmanager
def docker_engine() -> Generator[str]:
    """Run an engine until the block ends; yield its address, or '' where none can be started."""
    if "DOCKER_HOST" in os.environ or os.geteuid() != 0 or shutil.which("dockerd") is None:
        yield ""
        return
    folder = Path(tempfile.mkdtemp(prefix="dryad-engine-", dir="/tmp"))
    address = f"unix://{folder}/docker.sock"
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(
            [
                *("dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec"),
                *("--pidfile", folder / "pid", "-H", address, "--bridge=none"),
                *("--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        there = folder / "docker.sock"
        wait_for("the engine", lambda: there.exists() or engine.poll() is not None, seconds=30)
        yield address if there.exists() else ""
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(timeout=30)
        for mount in (folder / "exec" / "netns" / "default", folder / "data"):
            subprocess.run(["umount", mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def import_image() -> None:
    """Make the image `IMAGE`: links and folders; what it runs is bound in from this machine."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder in ("usr", "etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for name, target in _LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    # Prefect copies the directory it is started in for each run: one of its own, and empty.
    command = ["docker", "import", "--change", "WORKDIR /run/here", "-", IMAGE]
    subprocess.run(command, input=archive.getvalue(), check=True)


def refusal() -> str:
    """Try a container of the image; return why this machine runs none, '' if it does."""
    tried = subprocess.run(
        ["docker", "run", "--rm", "--network=host", "--volume=/usr:/usr:ro", IMAGE, "/bin/true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if tried.returncode == 0 else f"no container runs: {tried.stderr.strip()[-300:]}"


def seen_by_guests(*more: Path) -> list[str]:
    """Return the volumes with which a container has our Python, our code and nothing else.

    Args:
        more: Folders it may also write to.
    """
    code = Path(__file__).parents[1]
    shown = {Path("/usr"), Path(sys.base_prefix), Path(sys.prefix), code}
    outermost = [
        one for one in sorted(shown) if not any(one.is_relative_to(o) for o in shown - {one})
    ]
    return [f"{one}:{one}:ro" for one in outermost] + [f"{one}:{one}" for one in more]
