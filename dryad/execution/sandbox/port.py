"""Run code somebody else wrote, within bounds that are named and tested.

A sandbox is one *rung* of a ladder (`ladder.choose`). Every rung declares its guarantees as data;
a request that needs more than its rung guarantees is refused, never run with less.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from dryad.foundation.errors import InvalidRequest, Refused

RungName = Literal["docker", "bubblewrap", "namespaces", "landlock"]
Language = Literal["python", "shell"]

Guarantee = Literal[
    "network",
    "host_files",
    "host_names",
    "host_writes",
    "host_processes",
    "secrets",
    "kernel",
    "memory",
    "processes",
    "cpu_time",
    "wall_time",
    "disk",
    "output",
    "nothing_left",
    "supervisor",
]

GUARANTEES: Mapping[Guarantee, str] = MappingProxyType(
    {
        "network": "no socket of any family leads out",
        "host_files": "no file of the host can be read but the system's programs and libraries",
        "host_names": "names, sizes and times of other host files cannot be learned",
        "host_writes": "nothing outside the run's own directory is changed",
        "host_processes": "no other process is seen, signalled, traced or shared memory with",
        "secrets": "environment, arguments and open files of the parent are invisible",
        "kernel": "mounting, tracing, key rings, new namespaces, BPF, io_uring and the like fail",
        "memory": "all memory of all processes together is bounded, shared and in files too",
        "processes": "the number of processes and threads is bounded",
        "cpu_time": "CPU time of all processes together is bounded",
        "wall_time": "the run ends in time whatever it does",
        "disk": "bytes and number of files written are bounded",
        "output": "what is printed and returned is bounded",
        "nothing_left": "after the run no process and no file of it remains",
        "supervisor": "when the supervisor is killed, everything inside dies",
    }
)
"""What each guarantee promises, in one sentence."""

Violation = Literal[
    "wall_time",
    "cpu_time",
    "memory",
    "processes",
    "disk",
    "output",
    "files",
    "network",
    "kernel",
]
"""A bound that the run met: ended by it, refused by it, or cut at it."""

SCRIPTS: Mapping[Language, str] = MappingProxyType(
    {"python": "__main__.py", "shell": "__main__.sh"}
)
"""The name the code gets in the run's working directory."""

MAX_INPUT_BYTES = 64_000_000
"""Largest sum of code and input files of one request."""

_PART = re.compile(r"[^/\x00]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run; all of them hold for all its processes together."""

    wall_seconds: float = 30.0
    cpu_seconds: float = 30.0
    memory_bytes: int = 512_000_000
    processes: int = 64
    """Processes and threads alive at once."""
    open_files: int = 256
    """Descriptors per process."""
    disk_bytes: int = 100_000_000
    disk_files: int = 4_000
    output_bytes: int = 200_000
    """Kept of stdout, and again of stderr; the middle is cut out beyond it."""
    returned_files: int = 100
    returned_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        """Refuse bounds nothing could run in.

        Raises:
            InvalidRequest: a bound is zero, negative, or memory is below 32 MB.
        """
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise InvalidRequest(f"the sandbox limit {name} must be positive")
        if self.memory_bytes < 32_000_000:
            raise InvalidRequest("a sandboxed run needs at least 32,000,000 bytes of memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """One thing to run: either `code` in a language, or a `command` with its arguments.

    `files` are put into the working directory first, by relative name. `environment` are variables
    beside those every run has. `needs` names the guarantees without which the run must not happen.
    """

    code: str = ""
    language: Language = "python"
    command: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    limits: Limits = field(default_factory=Limits)
    needs: frozenset[Guarantee] = frozenset()

    def __post_init__(self) -> None:
        """Check everything that can be checked before a process starts.

        Raises:
            InvalidRequest: not exactly one of code and command, a file name that is absolute,
                climbs, collides or is no UTF-8, or more input than the disk limit.
        """
        if bool(self.code) == bool(self.command):
            raise InvalidRequest("a sandbox request has either code or a command")
        if any("\x00" in part for part in self.command):
            raise InvalidRequest("a command holds a NUL character")
        if any(
            not name or "=" in name or "\x00" in name + text
            for name, text in self.environment.items()
        ):
            raise InvalidRequest("a variable has a name without `=`, and no NUL character")
        for name in self.files:
            check_file_name(name)
        if self.code and SCRIPTS[self.language] in self.files:
            raise InvalidRequest(f"the file name {SCRIPTS[self.language]} is taken by the code")
        self._check_folders()
        size = len(self.code) + sum(len(content) for content in self.files.values())
        most = min(MAX_INPUT_BYTES, self.limits.disk_bytes)
        if size > most:
            raise InvalidRequest(
                f"code and files are {size} bytes; disk limit and port allow {most}"
            )

    def _check_folders(self) -> None:
        for name in self.files:
            parts = name.split("/")
            for end in range(1, len(parts)):
                if "/".join(parts[:end]) in self.files:
                    raise InvalidRequest(f"{name!r} needs a folder where another file is")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """What one run did.

    `exit_code` is the main process's, 128 + n when signal n ended it. `files` are those that are
    new or changed, `removed` those that were put in and are gone. `peak_memory_bytes` is sampled
    every few milliseconds. `violations` name the bounds met, `notes` say in words what was cut or
    left out.
    """

    exit_code: int
    stdout: str
    stderr: str
    files: Mapping[str, bytes]
    removed: frozenset[str] = frozenset()
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    violations: tuple[Violation, ...]
    notes: tuple[str, ...]
    rung: RungName

    @property
    def ok(self) -> bool:
        """Whether the main process ended by itself, with 0."""
        return self.exit_code == 0


class Spoken(Protocol):
    """A program in a sandbox that is spoken to while it runs."""

    async def tell(self, data: bytes, /) -> None:
        """Write to its standard input.

        Raises:
            Unavailable: the sandbox is gone.
        """
        ...

    async def hear(self) -> bytes:
        """Return the next bytes of its standard output; b"" when it has ended.

        Raises:
            Unavailable: the sandbox failed or is gone.
        """
        ...


class Sandbox(Protocol):
    """One rung of the ladder, known to work on this machine."""

    @property
    def name(self) -> RungName:
        """Which rung this is."""
        ...

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What holds here, whatever the code does."""
        ...

    async def run(self, request: SandboxRequest) -> SandboxResult:
        """Run one request to its end; a cancelled call ends everything it started.

        Raises:
            Refused: the request needs a guarantee this rung does not give.
            Unavailable: the sandbox itself could not be set up, or vanished.
        """
        ...

    def converse(self, request: SandboxRequest) -> AbstractAsyncContextManager[Spoken]:
        """Start a program to speak to; it ends, whatever it does, when the block ends.

        Raises:
            Refused: the request needs a guarantee this rung does not give.
            Unavailable: the sandbox itself could not be set up.
        """
        ...


def check_file_name(name: str) -> None:
    """Accept a relative name that stays inside, of at most 16 parts.

    Raises:
        InvalidRequest: any other name.
    """
    parts = name.split("/")
    sound = all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts)
    try:
        name.encode()
    except UnicodeEncodeError:
        sound = False
    if not sound or len(parts) > 16:
        raise InvalidRequest(f"{name[:200]!r} is no relative file name")


def refuse_unless(
    guaranteed: frozenset[Guarantee], needs: frozenset[Guarantee], *, rung: RungName
) -> None:
    """Refuse when something needed is not guaranteed.

    Raises:
        Refused: naming what is missing.
    """
    missing = sorted(needs - guaranteed)
    if missing:
        raise Refused(
            f"the sandbox rung {rung} does not guarantee {', '.join(missing)}",
            "Install bubblewrap or allow user namespaces; `dryad sandbox status` shows each rung.",
        )
