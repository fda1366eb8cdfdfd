"""HTTP/1.1 on 127.0.0.1 with keep-alive, one thread for each connection.

Written on sockets because faults need them, and because head and body leave in one send: two sends wait for each
other's acknowledgement.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from tests.support.kraken_double.messages import Answer, Delivery, Manner, Request

_LONGEST_HEAD = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Server:
    """`respond` decides; `latency` tells the real seconds a request takes, half before and half after that."""

    def __init__(self, respond: Callable[[Request], Delivery], latency: Callable[[], float], port: int = 0) -> None:
        self._respond = respond
        self._latency = latency
        self._listener = socket.create_server(("127.0.0.1", port))
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="kraken-double", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """Close every connection, answered or not."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            # Wakes the thread that waits in accept.
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._accepting.join()
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            unread = b""
            while not self._stopping.is_set():
                request, unread = _receive(connection, unread)
                if request is None or not self._exchange(connection, request):
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _exchange(self, connection: socket.socket, request: Request) -> bool:
        """Answer one request; False when the connection is to be closed."""
        latency = self._latency()
        if latency:
            time.sleep(latency / 2)
        delivery = self._respond(request)
        if latency:
            time.sleep(latency / 2)
        if delivery.manner is Manner.HANG and delivery.released is not None:
            delivery.released.wait()
        return self._deliver(connection, delivery)

    def _deliver(self, connection: socket.socket, delivery: Delivery) -> bool:
        answer = delivery.answer
        if delivery.manner is Manner.CLOSE:
            return False
        if delivery.manner is Manner.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            return False
        if delivery.manner is Manner.CUT:
            connection.sendall(_head(answer) + answer.body[: len(answer.body) // 2])
            return False
        if delivery.manner is Manner.DRIP:
            connection.sendall(_head(answer))
            for position in range(len(answer.body)):
                if self._stopping.wait(delivery.interval):
                    return False
                connection.sendall(answer.body[position : position + 1])
            return True
        connection.sendall(_head(answer) + answer.body)
        return True


def _head(answer: Answer) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
    ]
    if answer.content_encoding:
        lines.append(f"Content-Encoding: {answer.content_encoding}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _receive(connection: socket.socket, unread: bytes) -> tuple[Request | None, bytes]:
    """The next request and what was read beyond it; None when the client has gone."""
    while b"\r\n\r\n" not in unread:
        received = connection.recv(_LONGEST_HEAD)
        if not received or len(unread) > _LONGEST_HEAD:
            return None, b""
        unread += received
    head, _, rest = unread.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        received = connection.recv(_LONGEST_HEAD)
        if not received:
            return None, b""
        rest += received
    return Request(method, target, headers, rest[:length].decode()), rest[length:]
