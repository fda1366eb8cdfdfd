"""Slowing down whoever guesses tokens."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from rebalancer_pipelines.application.ports import Clock

_FREE = 3
_FIRST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(seconds=60)
_MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class _Guesses:
    count: int
    until: datetime


class WrongTokens:
    """How long each client has to wait: not at all for three wrong tokens, then one second, two, four, up to 60."""

    def __init__(self, clock: Clock) -> None:
        """Forget everything with the process."""
        self._clock = clock
        self._guesses: OrderedDict[str, _Guesses] = OrderedDict()

    def wait(self, client: str) -> timedelta:
        """How long a client's next token is not even looked at."""
        guesses = self._guesses.get(_network(client))
        return max(guesses.until - self._clock.now(), timedelta()) if guesses else timedelta()

    def add(self, client: str) -> None:
        """Remember that a client gave a wrong token."""
        network = _network(client)
        known = self._guesses.pop(network, None)
        count = known.count + 1 if known else 1
        doublings = min(count - _FREE, 10)
        wait = min(_FIRST_WAIT * 2 ** (doublings - 1), _LONGEST_WAIT) if doublings > 0 else timedelta()
        self._guesses[network] = _Guesses(count, self._clock.now() + wait)
        if len(self._guesses) > _MOST_REMEMBERED:
            self._guesses.popitem(last=False)

    def forget(self, client: str) -> None:
        """Start anew with a client that gave the right token."""
        self._guesses.pop(_network(client), None)


def _network(client: str) -> str:
    """The address, or the network of 2^64 addresses that one holder of an IPv6 line can use."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((int(address), 64), strict=False))
