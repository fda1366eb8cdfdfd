"""The secret that opens the UI: from the environment, or kept in a file of the data directory."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from rebalancer_pipelines.adapters.private_file import create_private_file
from rebalancer_pipelines.domain.errors import InvalidInputError

TOKEN_VARIABLE = "REBALANCER_UI_TOKEN"  # noqa: S105 - the name of a variable
_FILE = "ui_token"
_FEWEST_CHARACTERS = 16
_BYTES = 32


class AccessToken:
    """A secret that is never shown by accident: nothing prints it but `reveal`."""

    def __init__(self, text: str) -> None:
        """Keep the token as it was given, without white space around it."""
        self._text = text.strip()

    def reveal(self) -> str:
        """The token itself, to be sent or shown to its owner."""
        return self._text

    def matches(self, given: str) -> bool:
        """Whether somebody gave this token; takes as long for any wrong one."""
        return hmac.compare_digest(_digest(self._text), _digest(given.strip()))


def token_file(data_dir: Path) -> Path:
    """Where the token lies when the environment names none."""
    return data_dir / _FILE


def token_from_environment(environment: Mapping[str, str] = os.environ) -> AccessToken | None:
    """The token that the environment names, if it does. Raises `InvalidInputError`, which does not tell it."""
    text = environment.get(TOKEN_VARIABLE, "").strip()
    return _checked(text, TOKEN_VARIABLE) if text else None


def kept_token(data_dir: Path) -> AccessToken:
    """The token of the data directory; it is made on first use. Raises `InvalidInputError`, which does not tell it."""
    path = token_file(data_dir)
    try:
        if not path.exists():
            create_private_file(path, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InvalidInputError(_FILE, str(path), "can be read by others; remove it, and a new one is made")
        return _checked(path.read_text(errors="replace").strip(), str(path))
    except OSError as error:
        raise InvalidInputError(_FILE, str(path), f"cannot be used ({error.strerror}); check its permissions") from None


def _checked(text: str, source: str) -> AccessToken:
    if len(text) < _FEWEST_CHARACTERS or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidInputError(
            source,
            None,
            f"must be at least {_FEWEST_CHARACTERS} letters, digits and signs without spaces; "
            "'openssl rand -hex 32' makes one",
        )
    return AccessToken(text)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
