"""Another address of an exchange's API, given by a person."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from rebalancer_pipelines.domain.errors import InvalidInputError


def check_endpoint(endpoint: str) -> None:
    """Raise `InvalidInputError` for an address that keys must not travel to. A password in it is never repeated."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        raise InvalidInputError("endpoint", None, "is not an address; write it like https://api.kraken.com") from None
    if "@" in parts.netloc:
        raise InvalidInputError("endpoint", None, "must not hold a user name or password; leave them out")
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(mark.isspace() for mark in endpoint):
        raise InvalidInputError("endpoint", endpoint, "is not an address; write it like https://api.kraken.com")
    if parts.query or parts.fragment or endpoint.endswith(("?", "#")):
        raise InvalidInputError("endpoint", endpoint, "may have a path but nothing after it; leave out what follows")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise InvalidInputError(
            "endpoint",
            endpoint,
            "would send the key in clear over the network; use https, or this machine's own address",
        )


def _is_this_machine(host: str) -> bool:
    """Whether a host is loopback whatever a name server says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
