"""A TCP port on the loopback interface that nobody listens on."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if it can be listened on now, otherwise any port that can.

    Somebody else may take the port before the caller does: a failure to listen is for the caller to see.
    """
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As the servers do it: connections of a former server in TIME_WAIT do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, candidate))
            except OSError:
                if candidate:
                    continue
                raise
            port: int = probe.getsockname()[1]
            return port
    raise AssertionError("unreachable: port 0 either binds or raises")
