"""What the supervisor tells the guest: how to settle in, and what to run."""

from typing import TypedDict


class Room(TypedDict):
    """What is visible in namespaces the guest makes itself."""

    user_namespace: bool
    binds: list[tuple[str, str]]
    """Host path and path inside; read-only."""
    devices: list[tuple[str, str]]
    links: list[tuple[str, str]]
    """Path inside, and what it points to."""
    folders: list[str]


class Fence(TypedDict):
    """Where Landlock lets a run read and write."""

    read: list[str]
    write: list[str]


class Confinement(TypedDict):
    """How the program of a run is confined beside its limits: the same for every order."""

    environment: dict[str, str]
    filter: bytes
    """The system call filter; refusals worth a report wait for a listener's answer."""
    quiet_filter: bytes
    """The same without a listener, for kernels that have none."""
    fence: Fence | None


class Setup(TypedDict):
    """How a rung prepares the place where its run happens."""

    room: Room | None
    """Namespaces to make; None when the rung made them already, or has none."""
    become: int | None
    """User and group to continue as."""
    box: str
    """The run's own directory: `work`, `tmp` and `shm` are made in it."""
    bounded: bool
    """Whether the guest mounts a file system of limited size at `box`."""
    measured: bool
    """Whether `box` is a file system of its own, in memory, of limited size."""
    alone: bool
    """Whether the guest is the first process of its process namespace."""
    reply: int
    """The descriptor the guest answers on."""
    confinement: Confinement
    waiting: list[str]
    """An interpreter and the name of its program: started before there is an order; or []."""


class Bounds(TypedDict):
    """`port.Limits`, as numbers."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    open_files: int
    disk_bytes: int
    disk_files: int
    output_bytes: int
    returned_files: int
    returned_bytes: int


class Order(TypedDict):
    """What to run, and within which bounds."""

    argv: list[str]
    files: list[tuple[str, bytes]]
    bounds: Bounds
    process_base: int
    """Processes of the same user outside the run that the kernel counts too."""
    environment: dict[str, str]
    """Variables beside those of the confinement."""
    talks: bool
    """Whether the program is spoken to while it runs: what follows the order is said to it."""
