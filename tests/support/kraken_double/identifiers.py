"""Ids that look like Kraken's: `OQCLML-BW3P3-BUCMWZ` for orders, `T…` for trades, `L…` for ledger lines."""

from __future__ import annotations

import random
import string

_LETTERS = string.ascii_uppercase + string.digits


class Identifiers:
    """A sequence of distinct ids that is the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._issued: set[str] = set()

    def next(self, prefix: str) -> str:
        while True:
            letters = "".join(self._random.choices(_LETTERS, k=17 - len(prefix)))
            issued = (
                f"{prefix}{letters[: 6 - len(prefix)]}-{letters[6 - len(prefix) : 11 - len(prefix)]}-{letters[-6:]}"
            )
            if issued not in self._issued:
                self._issued.add(issued)
                return issued
