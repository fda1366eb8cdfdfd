"""A server that lets everybody in and never answers, or answers so slowly that no wait for a byte is ever long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def mute_server(*, byte_every: float | None = None) -> Iterator[str]:
    """Its address as one of Redis. `byte_every` seconds it sends a byte of an answer that never ends."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            held: list[socket.socket] = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if byte_every is not None:
                    threading.Thread(target=drip, args=(connection, byte_every), daemon=True).start()

        def drip(connection: socket.socket, pause: float) -> None:
            with suppress(OSError):
                connection.sendall(b"$1000000\r\n")
                while not ended.wait(pause):
                    connection.sendall(b"x")

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
