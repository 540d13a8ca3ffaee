"""An interpreter that starts before its program is known, so that a run waits for neither."""

from __future__ import annotations

import fcntl
import os
import time

from dryad.execution.sandbox.guest import kernel
from dryad.execution.sandbox.guest.program import Program, bind_resources

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from dryad.execution.sandbox.orders import Order, Setup

_START_SECONDS, _NAP_SECONDS = 10.0, 0.001
_F_GETPIPE_SZ = 1032


class Waiting:
    """An interpreter that has started and reads its program from a pipe nobody writes to yet.

    Nothing of a run is in it before all bounds are. Once the program is known, a file takes the
    place of the named pipe, for tracebacks and whoever else reads it, and the same bytes go
    through the pipe.
    """

    def __init__(self, setup: Setup) -> None:
        self._argv = setup["waiting"]
        self._box = setup["box"]
        self._become = setup["become"]
        self._script = f"{self._box}/work/{self._argv[1]}"
        self._program = Program(self._argv, setup["confinement"], self._box, before=self._make_pipe)
        if self._become is not None:
            os.seteuid(self._become)  # the folder is theirs; who may mount need not be let in
        self._pipe = self._await_reader()
        if self._become is not None:
            os.seteuid(0)

    def suits(self, order: Order) -> bool:
        """Whether it lives and can take this program: through a pipe, without going back in it."""
        if self._pipe < 0 or order["argv"] != self._argv or order["environment"]:
            return False
        if order["talks"] or self._ended():
            return False
        code = dict(order["files"])[self._argv[1]]
        # Where another encoding is declared, the interpreter goes back to the beginning.
        declared = b"coding" in b"".join(code.split(b"\n", 2)[:2])
        return not declared and len(code) <= fcntl.fcntl(self._pipe, _F_GETPIPE_SZ)

    def take(self, order: Order, code: str) -> Program:
        """Bound it, give it its program, which is in the file `code`, and return it running."""
        bind_resources(self._program.pid, order)
        os.rename(code, self._script)
        os.write(self._pipe, dict(order["files"])[self._argv[1]])
        os.close(self._pipe)
        return self._program

    def end(self) -> None:
        """End it, and everything that is known of it."""
        os.kill(self._program.pid, 9)
        os.waitpid(self._program.pid, 0)
        self._program.forget()
        if self._pipe >= 0:
            os.close(self._pipe)
        if os.path.exists(self._script):
            os.unlink(self._script)

    def _make_pipe(self) -> None:
        kernel.drop_privileges(self._become)
        for folder in ("work", "tmp", "shm"):
            os.mkdir(f"{self._box}/{folder}", 0o700)
        os.mkfifo(self._script, 0o600)

    def _await_reader(self) -> int:
        """Return the pipe once the interpreter reads it, or -1 when it never does."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._ended():
            try:
                return os.open(self._script, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # it is not there yet, or nobody reads it yet
                time.sleep(_NAP_SECONDS)
        return -1

    def _ended(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._program.pid, flags) is not None
