"""Foreign text made fit for people: one line, not too long, and without anything secret."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

LONGEST = 200
"""Characters of a text that leaves the adapter."""


def one_line(text: str, *, longest: int = LONGEST) -> str:
    """`text` in one line of at most `longest` characters."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """`text` with *** in the place of each secret, however JSON or a URL writes it.

    To be done before a text is cut: half a secret would not be found any more.
    """
    for secret in secrets:
        for written in (secret, secret.replace("/", "\\/"), quote(secret, safe="")):
            text = text.replace(written, "***")
    return text
