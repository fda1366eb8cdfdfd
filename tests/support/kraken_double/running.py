"""The double with a server in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.kraken_double.control import control
from tests.support.kraken_double.double import KrakenDouble
from tests.support.kraken_double.messages import Delivery, Request
from tests.support.kraken_double.server import Server


@contextmanager
def kraken_double(*, port: int = 0, **settings: Any) -> Iterator[KrakenDouble]:
    """The double on a free port, for a block; `settings` are those of `KrakenDouble`."""
    double = KrakenDouble(**settings)

    def respond(request: Request) -> Delivery:
        if request.target.startswith("/control/"):
            return Delivery(control(double, request))
        return double.respond(request)

    server = Server(respond, lambda: double.latency, port)
    double.url = server.url
    server.start()
    try:
        yield double
    finally:
        server.stop()
        double.release()
