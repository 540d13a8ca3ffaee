"""What a guest answered, read with care, turned into the port's result."""

from typing import cast

from dryad.execution.sandbox import seccomp
from dryad.execution.sandbox.port import RungName, SandboxResult, Violation, check_file_name
from dryad.foundation.errors import InvalidRequest, Unavailable

_MAX_NOTES = 20


class Answer:
    """A guest's answer, field by field. The guest is ours, but it lived beside strangers."""

    def __init__(self) -> None:
        self._fields: dict[str, bytes] = {}
        self._violations: set[str] = set()
        self._refused: set[str] = set()
        self._notes: list[str] = []
        self._files: dict[str, bytes] = {}
        self._removed: set[str] = set()
        self._name = ""

    def add(self, key: str, value: bytes) -> bool:
        """Take one field; False after the last.

        Raises:
            InvalidRequest: the input does not fit into the disk limit.
            Unavailable: the guest failed.
        """
        text = value.decode("utf-8", "replace") if key != "content" else ""
        if key == "end":
            return False
        if key == "failed":
            raise Unavailable(f"the sandbox failed: {last_line(value)}")
        if key == "too_large":
            raise InvalidRequest(f"code and files do not fit into the disk limit: {text}")
        if key == "violation":
            self._violations.add(text)
        elif key == "refused":
            self._refused.add(seccomp.names().get(int(text), text))
        elif key == "note":
            self._notes.append(text[:1_000])
        elif key == "gone":
            self._removed.add(text)
        elif key == "name":
            check_file_name(text)
            self._name = text
        elif key == "content":
            self._files[self._name] = value
        else:
            self._fields[key] = value
        return True

    def result(self, rung: RungName) -> SandboxResult:
        """Return the whole as the port's type."""
        notes = self._notes[:_MAX_NOTES]
        violations = set(self._violations)
        if notes:
            violations.add("files")
        if self._refused:
            violations |= {_kind(name) for name in self._refused}
            notes.append(f"system calls refused: {', '.join(sorted(self._refused))}")
        streams: list[str] = []
        for key in ("stdout", "stderr"):
            lost = self._number(f"{key}_lost")
            streams.append(self._stream(key, lost))
            if lost:
                violations.add("output")
                notes.append(f"{key} was cut: {lost} bytes are left out of its middle")
        failure = self._fields.get("failure", b"").decode("utf-8", "replace")
        if failure:
            streams[1] += f"the program could not be started: {failure}\n"
        return SandboxResult(
            exit_code=self._number("exit_code"),
            stdout=streams[0],
            stderr=streams[1],
            files=self._files,
            removed=frozenset(self._removed),
            wall_seconds=self._number("wall_microseconds") / 1e6,
            cpu_seconds=self._number("cpu_microseconds") / 1e6,
            peak_memory_bytes=self._number("peak_memory_bytes"),
            violations=cast("tuple[Violation, ...]", tuple(sorted(violations))),
            notes=tuple(notes),
            rung=rung,
        )

    def _number(self, key: str) -> int:
        return int(self._fields[key])

    def _stream(self, key: str, lost: int) -> str:
        head, tail = self._fields[f"{key}_head"], self._fields[f"{key}_tail"]
        if not lost:
            return (head + tail).decode("utf-8", "replace")
        cut = f"\n[… {lost} bytes cut …]\n"
        return head.decode("utf-8", "replace") + cut + tail.decode("utf-8", "replace")


def _kind(name: str) -> str:
    return "network" if name in {"socket", "socketpair"} else "kernel"


def last_line(text: bytes) -> str:
    """Return the last line of what a program printed, at most 500 characters, or ''."""
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
