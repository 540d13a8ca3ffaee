"""The system call filter decides the same on every architecture it has a table for."""

import errno
import struct

import pytest

from dryad.execution.sandbox import seccomp
from dryad.execution.sandbox.syscalls import Architecture, architecture
from dryad.foundation.errors import Unavailable

ALLOWED, REPORTED, KILLED = 0x7FFF0000, 0x7FC00000, 0x80000000
REFUSED, UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS


def decide(program: bytes, token: int, number: int, *arguments: int) -> int:
    """Run the filter as the kernel would, on one call."""
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, token, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", program))
    value = place = 0
    while True:
        operation, when, unless, operand = steps[place]
        place += 1
        if operation == 0x20:
            value = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x54:
            value &= operand
        elif operation == 0x15:
            place += when if value == operand else unless
        elif operation == 0x35:
            place += when if value >= operand else unless
        else:
            assert operation == 0x06
            return operand


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


def known(machine: str) -> Architecture:
    found = architecture(machine)
    assert found is not None
    return found


CASES = [
    ("read", (), ALLOWED),
    ("execve", (), ALLOWED),
    ("ptrace", (), REPORTED),
    ("mount", (), REPORTED),
    ("memfd_create", (), REFUSED),
    ("clone3", (), UNKNOWN),
    ("clone", (0x1200011,), ALLOWED),
    ("clone", (0x10000000 | 17,), REPORTED),
    ("clone", (0x40000000 | 17,), REPORTED),
    ("socket", (1, 1, 0), ALLOWED),
    ("socket", (2, 1, 0), REPORTED),
    ("socket", (40, 1, 0), REPORTED),
    ("socketpair", (1, 1, 0), ALLOWED),
    ("mmap", (0, 4096, 3, 0x22), ALLOWED),
    ("mmap", (0, 4096, 3, 0x21), REFUSED),
    ("mmap", (0, 4096, 3, 0x01), ALLOWED),
    ("mknodat", (0, 0, 0o010600), ALLOWED),
    ("mknodat", (0, 0, 0o020600), REPORTED),
    ("mknodat", (0, 0, 0o060600), REPORTED),
    ("personality", (0xFFFFFFFF,), ALLOWED),
    ("personality", (0x0040000,), REPORTED),
    ("ioctl", (0, 0x5412), REPORTED),
    ("ioctl", (0, 0x5401), ALLOWED),
    ("fcntl", (1, 1031), REFUSED),
    ("setsockopt", (3, 1, 7), REFUSED),
    ("fchmodat", (), ALLOWED),
    ("prlimit64", (4711,), ALLOWED),
]


@pytest.mark.parametrize(("name", "arguments", "verdict"), CASES)
def test_a_call_gets_its_verdict(machine, name, arguments, verdict):
    program, (token, _, numbers) = seccomp.program(machine=machine), known(machine)
    assert decide(program, token, numbers[name], *arguments) == verdict


@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("fchmodat", (), REFUSED),
        ("utimensat", (), REFUSED),
        ("socket", (1, 1, 0), REFUSED),
        ("prlimit64", (0, 7), ALLOWED),
        ("prlimit64", (4711, 7), REPORTED),
        ("sched_setaffinity", (4711,), REPORTED),
    ],
)
def test_among_others_more_is_refused(machine, name, arguments, verdict):
    program, (token, _, numbers) = seccomp.program(machine=machine, crowded=True), known(machine)
    assert decide(program, token, numbers[name], *arguments) == verdict


def test_without_a_listener_nothing_waits_for_one(machine):
    program, (token, _, numbers) = seccomp.program(machine=machine, reporting=False), known(machine)
    assert REPORTED not in {decide(program, token, number, 2) for number in numbers.values()}
    assert decide(program, token, numbers["ptrace"]) == REFUSED


def test_a_call_of_another_architecture_is_fatal(machine):
    assert decide(seccomp.program(machine=machine), 0x40000003, 1) == KILLED


def test_the_second_table_of_x86_64_does_not_exist():
    program, (token, _, _) = seccomp.program(machine="x86_64"), known("x86_64")
    assert decide(program, token, 0x40000000) == UNKNOWN


def test_a_machine_without_a_table_has_no_sandbox():
    with pytest.raises(Unavailable, match="riscv64"):
        seccomp.program(machine="riscv64")
