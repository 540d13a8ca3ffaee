"""What goes to and fro between a program and the supervisor while the program runs."""

from __future__ import annotations

import os
import select

_CONTROL = 0
_CHUNK = 1 << 16


class Talk:
    """Passes on what the supervisor says, as fast as the program listens.

    While something waits for the program nothing more is taken from the supervisor.
    """

    def __init__(self, poll: select.poll, listens: int) -> None:
        os.set_blocking(listens, False)
        self._poll = poll
        self.listens = listens
        self._waiting = b""

    def hear(self) -> bool:
        """Take what the supervisor says; False when it is gone."""
        if self._waiting:
            return False  # only its end is told while nothing is asked of it
        self._waiting = os.read(_CONTROL, _CHUNK)
        if not self._waiting:
            return False
        if self.listens >= 0:
            self._poll.modify(_CONTROL, 0)
            self._poll.register(self.listens, select.POLLOUT)
        else:
            self._waiting = b""
        return True

    def pass_on(self) -> None:
        """Give the program what it takes."""
        try:
            taken = os.write(self.listens, self._waiting)
        except BlockingIOError:
            return
        except OSError:  # it listens no more
            self._poll.unregister(self.listens)
            os.close(self.listens)
            self.listens, self._waiting = -1, b""
            self._poll.modify(_CONTROL, select.POLLIN)
            return
        self._waiting = self._waiting[taken:]
        if not self._waiting:
            self._poll.unregister(self.listens)
            self._poll.modify(_CONTROL, select.POLLIN)
