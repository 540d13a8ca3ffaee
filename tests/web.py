"""Small real HTTP servers for tests: one that receives, one that talks like a model provider."""

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """What came in."""

    path: str
    headers: Message
    """Names in any case."""
    body: Any
    """As JSON; None when there was none."""
    method: str = "POST"


@dataclass
class Server:
    """A running server and everything it was sent, in order."""

    url: str
    received: list[Received] = field(default_factory=list)


Answer = Callable[[BaseHTTPRequestHandler, Received, int], None]
"""Answers one request; the number counts requests from 1."""


@contextmanager
def serve(answer: Answer) -> Generator[Server]:
    """Run a server on a loopback port; every request is kept, then answered by `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            said = json.loads(body) if body else None
            received = Received(self.path, self.headers, said, self.command)
            with lock:
                server.received.append(received)
                number = len(server.received)
            try:
                answer(self, received, number)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    lock = threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def reply(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes | dict[str, Any] | list[Any] = b"",
    **headers: str,
) -> None:
    """Send one whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def accept(status: int = 200, **headers: str) -> Answer:
    """Answer everything with a status."""
    return lambda handler, _received, _number: reply(handler, status, {}, **headers)


def completion(
    text: str | None = None, calls: list[tuple[str, Any]] | None = None, *, number: int = 1
) -> dict[str, Any]:
    """Return an answer in OpenAI's chat format: a text, or tool calls of (name, arguments)."""
    tool_calls = [
        {
            "id": f"call_{number}_{place}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for place, (name, given) in enumerate(calls or [])
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = tool_calls
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "test-model",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if tool_calls else "stop",
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def scripted(*answers: str | list[tuple[str, Any]]) -> Answer:
    """Talk like a model that gives these answers one after another, then the last for ever.

    Which one is next depends on the conversation it is sent, as with a real model, not on how
    often it was asked.
    """

    def answer(handler: BaseHTTPRequestHandler, received: Received, _number: int) -> None:
        said = sum(message["role"] == "assistant" for message in received.body["messages"])
        now = answers[min(said, len(answers) - 1)]
        text, calls = (now, None) if isinstance(now, str) else (None, now)
        reply(handler, 200, completion(text, calls, number=said + 1))

    return answer


def never_ending(handler: BaseHTTPRequestHandler, _received: Received, _number: int) -> None:
    """Send an answer byte by byte without an end."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
