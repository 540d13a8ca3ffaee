"""The first process of a sandbox: furnish the room, wait for an order, run it, hand back."""

from __future__ import annotations

import marshal
import os

from dryad.execution.sandbox.guest import files, kernel, room
from dryad.execution.sandbox.guest.job import Abandoned, Job
from dryad.execution.sandbox.guest.program import Program
from dryad.execution.sandbox.guest.waiting import Waiting

TYPE_CHECKING = False  # importing `typing` would cost every run 5 ms
if TYPE_CHECKING:
    from typing import BinaryIO

    from dryad.execution.sandbox.orders import Bounds, Order, Setup


_BOX_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV
_out = {"reply": 0}


def main(stream: BinaryIO) -> None:
    """Serve one order from `stream`, then exit. Every failure is told, none is retried."""
    try:
        setup: Setup = marshal.load(stream)
        if setup["room"] is not None:
            room.enter(setup["room"])
        _out["reply"] = setup["reply"]
        waiting = None
        if setup["waiting"]:
            _mount_box(setup, "size=4096,nr_inodes=8")
            waiting = Waiting(setup)
        tell("ready", b"")
        order: Order = marshal.load(stream)
        _serve(setup, order, waiting)
    except (Abandoned, EOFError, BrokenPipeError):
        os._exit(1)
    except BaseException:  # noqa: BLE001 - told to the supervisor, then the sandbox ends
        import traceback  # noqa: PLC0415 - dear, and rarely needed

        tell("failed", traceback.format_exc().encode("utf-8", "replace"))
        tell("end", b"")
        os._exit(1)
    os._exit(0)


def tell(key: str, value: bytes) -> None:
    """Send one field to the supervisor."""
    send(_field(key, value))


def send(data: bytes) -> None:
    """Send all of `data`."""
    view = memoryview(data)
    while view:
        view = view[os.write(_out["reply"], view) :]


def _field(key: str, value: bytes) -> bytes:
    """Return key and value, each after its length."""
    name = key.encode("utf-8", "replace")
    return b"".join([_length(name), name, _length(value), value])


def _length(value: bytes) -> bytes:
    return len(value).to_bytes(8, "little")


def _serve(setup: Setup, order: Order, waiting: Waiting | None) -> None:
    _settle(setup, order["bounds"], mounted=waiting is not None)
    try:
        _work(setup, order, waiting)
    finally:
        if not setup["measured"]:
            files.remove(setup["box"])


def _work(setup: Setup, order: Order, waiting: Waiting | None) -> None:
    box = setup["box"]
    try:
        program = _begun(setup, order, waiting)
    except OSError as error:
        tell("too_large", str(error).encode())
        tell("end", b"")
        return
    bounds = order["bounds"]
    disk = box if setup["measured"] else None
    speaks = tell if order["talks"] else None
    job = Job(program, bounds, disk=disk, alone=setup["alone"], tell=speaks)
    if speaks:
        tell("begun", b"")
    job.run()
    harvest = files.Harvest(
        dict(order["files"]), files=bounds["returned_files"], size=bounds["returned_bytes"]
    )
    harvest.gather(f"{box}/work")
    _report(job, harvest)


def _begun(setup: Setup, order: Order, waiting: Waiting | None) -> Program:
    """Place the run's files and return its program, which runs.

    Raises:
        OSError: the files do not fit.
    """
    box, placed = setup["box"], order["files"]
    if waiting is not None and waiting.suits(order):
        script = order["argv"][1]
        files.place(f"{box}/work", [(name, content) for name, content in placed if name != script])
        files.place(box, [(name, content) for name, content in placed if name == script])
        return waiting.take(order, f"{box}/{script}")
    if waiting is not None:
        waiting.end()
    for folder in ("work", "tmp", "shm"):
        os.makedirs(f"{box}/{folder}", 0o700, exist_ok=True)
    files.place(f"{box}/work", placed)
    return Program(order["argv"], setup["confinement"], box, order=order, listens=order["talks"])


def _settle(setup: Setup, bounds: Bounds, *, mounted: bool) -> None:
    """Bound the disk, and drop privileges."""
    if setup["bounded"]:
        size = max(1, bounds["disk_bytes"] // 4096) * 4096
        options = f"size={size},nr_inodes={bounds['disk_files'] + 5}"
        if mounted:
            kernel.mount("tmpfs", setup["box"], "tmpfs", _BOX_FLAGS | kernel.MS_REMOUNT, options)
        else:
            _mount_box(setup, options)
    kernel.offer_to_die(500)
    kernel.drop_privileges(setup["become"])
    if not setup["alone"]:
        kernel.adopt_orphans()


def _mount_box(setup: Setup, size: str) -> None:
    user, group = os.getuid(), os.getgid()
    if setup["become"] is not None:
        user = group = setup["become"]
    options = f"{size},mode=700,uid={user},gid={group}"
    kernel.mount("tmpfs", setup["box"], "tmpfs", _BOX_FLAGS, options)


def _report(job: Job, harvest: files.Harvest) -> None:
    status = job.tree.main_status
    code = 137 if status is None else os.waitstatus_to_exitcode(status)
    numbers = {
        "exit_code": code if code >= 0 else 128 - code,
        "wall_microseconds": int(job.wall_seconds * 1e6),
        "cpu_microseconds": int(job.tree.cpu_seconds() * 1e6),
        "peak_memory_bytes": job.tree.peak_memory,
    }
    told = [(key, str(value).encode()) for key, value in numbers.items()]
    for key, output in zip(("stdout", "stderr"), job.outputs, strict=True):
        head, tail, lost = output.parts()
        told += [(f"{key}_head", head), (f"{key}_tail", tail), (f"{key}_lost", str(lost).encode())]
    told.append(("failure", job.failure.encode()))
    told += [("violation", violation.encode()) for violation in sorted(job.violations)]
    told += [("refused", str(number).encode()) for number in sorted(job.refused)]
    told += [("note", note.encode()) for note in harvest.notes()]
    told += [("gone", name.encode()) for name in harvest.gone()]
    for name, content in harvest.found:
        told += [("name", name.encode()), ("content", content)]
    told.append(("end", b""))
    # All at once: the supervisor is woken for the whole, not for each field.
    send(b"".join([_field(key, value) for key, value in told]))
