"""What came back from one request, before anybody has an opinion about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Failure(Enum):
    """Why there is no answer."""

    TIMEOUT = auto()
    """Nothing, or not all of it, within the time allowed."""
    REFUSED = auto()
    """Nobody listens at that address."""
    UNKNOWN_HOST = auto()
    """No address is known for the host."""
    INSECURE = auto()
    """The other side cannot prove who it is."""
    DISCONNECTED = auto()
    """The connection broke, before or while the answer was read."""
    OTHER = auto()
    """Anything else, such as a body that is not what its headers say."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The answer to one request, or why there is none. Its texts hold neither the key nor the secret.

    `status` and `body` are HTTP's, None unless the answer was read to its end; then `failure` is None. `words` are
    those of the failure. `never_sent`: it is certain that not a byte of the request left this machine.
    """

    status: int | None = None
    body: str | None = None
    failure: Failure | None = None
    words: str = ""
    never_sent: bool = False
