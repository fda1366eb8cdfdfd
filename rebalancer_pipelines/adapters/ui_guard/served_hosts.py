"""The names under which the UI may be asked for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rebalancer_pipelines.domain.errors import InvalidInputError

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80
_NAME = re.compile(r"(?P<name>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class ServedHosts:
    """The values of a request's `Host` that are ours; a page that rebinds its own name to our address uses another."""

    allowed: frozenset[str]

    def __contains__(self, host: str) -> bool:
        return host.lower() in self.allowed


def served_hosts(address: str, port: int, names: Iterable[str] = ()) -> ServedHosts:
    """The names of the loopback and of `address` at `port`, and the `names` that somebody gave.

    A given name without a port stands for itself at `port` and behind a proxy, where a browser names no port.
    Raises `InvalidInputError`.
    """
    own = {*_LOOPBACK_NAMES, *([] if is_wildcard(address) else [bracketed(address)])}
    allowed = {f"{name}:{port}" for name in own}
    if port == _HTTP_PORT:
        allowed |= own
    for text in names:
        name = parse_name(text)
        allowed.add(name)
        if not re.search(r":[0-9]+$", name.rpartition("]")[2]):
            allowed.add(f"{name}:{port}")
    return ServedHosts(frozenset(allowed))


def parse_name(text: str) -> str:
    """Read a host name, with a port or without. Raises `InvalidInputError`."""
    name = text.strip().lower()
    found = _NAME.fullmatch(name)
    if found is None or ".." in name or int(found["port"] or 1) not in range(1, 65536):
        raise InvalidInputError(
            "allow_host", text, "is not a host name; write it like rebalancer.example or rebalancer.example:8443"
        )
    return name


def parse_address(text: str, *, login: bool) -> str:
    """Read the address to listen on; beyond this machine it takes a `login`. Raises `InvalidInputError`."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if text.strip().lower() == "localhost" else text.strip().strip("[]"))
    except ValueError:
        raise InvalidInputError(
            "host", text, "is not an address of this machine; write it like 127.0.0.1 or 0.0.0.0"
        ) from None
    if not address.is_loopback and not login:
        raise InvalidInputError("host", text, "lets other machines in; add --auth, or leave --host out")
    return str(address)


def is_wildcard(address: str) -> bool:
    """Whether an address stands for all addresses of this machine."""
    return ipaddress.ip_address(address).is_unspecified


def bracketed(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address
