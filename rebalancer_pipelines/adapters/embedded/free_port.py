"""A TCP port on the loopback interface that nobody listens on."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"

_FIRST, _LAST = 15_000, 32_767
"""Below the ports that systems hand out for outgoing connections: one of those could take a server's port while it is
down for a moment, and the server could not come back where its users look for it."""

_TRIES = 200


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if it can be listened on now, otherwise a random port that can.

    Somebody else may take the port before the caller does: a failure to listen is for the caller to see.

    Raises:
        OSError: no port could be listened on.

    """
    if preferred is not None and _can_listen(preferred):
        return preferred
    chance = random.SystemRandom()
    for _ in range(_TRIES):
        port = chance.randint(_FIRST, _LAST)
        if _can_listen(port):
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}")


def _can_listen(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: connections of a former server in TIME_WAIT do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
