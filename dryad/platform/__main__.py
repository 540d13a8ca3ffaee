"""The instance that `dryad up --detach` leaves behind: `python -P -m dryad.platform`."""

import sys

from dryad.foundation.environment import load
from dryad.foundation.errors import DryadError
from dryad.platform import detached
from dryad.platform.up import up


def main(options: list[str]) -> int:
    """Run the instance of this environment, telling its steps on standard output."""
    try:
        up(
            load()[0],
            demo="--demo" in options,
            reset_schedules="--reset-schedules" in options,
            report=detached.tell,
        )
    except DryadError as error:
        detached.tell_failure(error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
