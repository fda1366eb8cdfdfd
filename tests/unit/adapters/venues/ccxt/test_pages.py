"""Lists that come in pages are read whole or not at all, whatever arrives meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.key_turns import Charge
from rebalancer_pipelines.adapters.venues.ccxt.kraken.private_api import PrivateApi
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import RawAnswer
from rebalancer_pipelines.domain.errors import VenueUnreachableError


class Turns:
    """Turns without a database; nothing ever waits."""

    @contextmanager
    def turn(self, charge: Charge, *, until: object = None) -> Iterator[int]:
        yield 1


class Pages:
    """A client whose venue lists entries newest first, `size` on each page, `promised` more than there are.

    `arrive` tells what comes new after each answer, by the number of answers so far.
    """

    def __init__(
        self, count: int, *, size: int = 50, arrive: Callable[[int], int] = lambda _: 0, promised: int = 0
    ) -> None:
        self.newest_first = [f"L{number}" for number in range(count, 0, -1)]
        self.answers = 0
        self._size = size
        self._arrive = arrive
        self._promised = promised

    def prepare(self) -> None:
        """Nothing."""

    def call(self, method: str, parameters: Mapping[str, str], *, nonce: int) -> RawAnswer:
        start = int(parameters["ofs"])
        page = {entry: {"id": entry} for entry in self.newest_first[start : start + self._size]}
        result = {"ledger": page, "count": len(self.newest_first) + self._promised}
        self.answers += 1
        for _ in range(self._arrive(self.answers)):
            self.newest_first.insert(0, f"L{len(self.newest_first) + 1}")
        return RawAnswer(200, json.dumps({"error": [], "result": result}))


def read(pages: Pages) -> set[str]:
    api = PrivateApi(pages, Turns(), "https://kraken.example")  # type: ignore[arg-type]
    return set(api.pages("ledger", "Ledgers", "ledger", {}))


@pytest.mark.parametrize(
    ("count", "answers"), [(0, 1), (1, 1), (49, 1), (50, 1), (51, 2), (100, 2), (101, 3), (1000, 20)]
)
def test_every_page_is_read_once(count: int, answers: int) -> None:
    pages = Pages(count)
    assert read(pages) == set(pages.newest_first)
    assert pages.answers == answers


def test_pages_may_be_of_any_size() -> None:
    pages = Pages(31, size=7)
    assert read(pages) == set(pages.newest_first)


@pytest.mark.parametrize("count", [50, 51, 99, 100, 149])
@pytest.mark.parametrize("new", [1, 3, 49])
def test_what_arrives_meanwhile_is_read_and_hides_nothing(count: int, new: int) -> None:
    pages = Pages(count, arrive=lambda answers: new if answers == 1 else 0)
    before = set(pages.newest_first)
    found = read(pages)
    assert before <= found
    assert found <= set(pages.newest_first)
    if count > 50:
        assert found == set(pages.newest_first)


def test_a_list_that_grows_faster_than_it_is_read_is_not_read_in_part() -> None:
    with pytest.raises(VenueUnreachableError, match="lacks entries"):
        read(Pages(60, arrive=lambda _: 60))


def test_a_list_that_lacks_what_it_promises_is_refused() -> None:
    for count in (0, 10, 50, 60):
        with pytest.raises(VenueUnreachableError, match="lacks entries"):
            read(Pages(count, promised=1))
