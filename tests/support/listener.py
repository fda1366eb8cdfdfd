"""An HTTP server that people's messages are sent to: it keeps them, refuses them, or lets the sender wait."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener:
    """`messages` are what was taken; `asked` counts every request, taken or not."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def url(self, secret: str = "s3cret-word") -> str:
        """Its address as apprise takes it, with a secret in it that nobody may be shown."""
        return f"json://me:{secret}@127.0.0.1:{self._server.server_address[1]}/{secret}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            listener.asked += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.answers.wait(30)
            if listener.status == 200:
                listener.messages.append(json.loads(body))
            self.send_response(listener.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener on a free port of this machine, for a block."""
    listener = Listener()
    thread = threading.Thread(target=listener._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.answers.set()
        listener._server.shutdown()
        listener._server.server_close()
