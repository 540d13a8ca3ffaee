"""A receiver of messages outside DRYAD: what arrives here has really happened."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """An HTTP server that keeps every message, with the key it came under."""

    url: str = ""
    letters: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    slow: float = 0
    """Seconds after which a letter that has arrived is confirmed."""

    def messages(self, task: str) -> list[str]:
        """The texts that arrived on behalf of one task."""
        return [letter["message"] for _, letter in self.letters if letter["task"] == task]


@contextmanager
def receiving() -> Generator[Receiver]:
    """Run a receiver on a free loopback port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.letters.append((self.headers["Idempotency-Key"], json.loads(body)))
            time.sleep(receiver.slow)
            with suppress(ConnectionError):  # who sent it died meanwhile
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/letters"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
