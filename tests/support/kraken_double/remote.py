"""The double in a process of its own, for tests that kill or pause the program which speaks to it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.kraken_double.faults import Fault

_PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class RemoteDouble:
    """What `KrakenDouble` offers to a test, over HTTP; `journal()` is the same document."""

    url: str
    key: str
    secret: str

    def journal(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/control/journal", timeout=10) as answer:
            return json.load(answer)

    def inject(self, endpoint: str, fault: Fault, *, after: int = 0, times: int | None = 1) -> None:
        name, arguments = type(fault).__name__, asdict(fault)  # type: ignore[call-overload]
        self._turn("fault", endpoint=endpoint, fault=name, arguments=arguments, after=after, times=times)

    def quote(self, pair: str, bid: str, ask: str, *, depth: str | None = None) -> None:
        self._turn("quote", pair=pair, bid=bid, ask=ask, depth=depth)

    def move(self, do: str, **arguments: Any) -> None:
        """`deposit`, `withdraw`, `reward`, `transfer`, `convert` or `trade_by_hand`, with their arguments."""
        self._turn("move", do=do, **arguments)

    def state(self, do: str, **arguments: Any) -> None:
        """`hide_orders_for`, `leave_open`, `set_status`, `release` and the like, with their arguments."""
        self._turn("state", do=do, **arguments)

    def _turn(self, knob: str, **arguments: Any) -> None:
        request = urllib.request.Request(f"{self.url}/control/{knob}", json.dumps(arguments).encode())
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def kraken_double_process(*options: str) -> Iterator[RemoteDouble]:
    """A double started with command line options, for a block."""
    command = [sys.executable, "-m", "tests.support.kraken_double", *options]
    with subprocess.Popen(command, cwd=_PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield RemoteDouble(**json.loads(process.stdout.readline()))
        finally:
            process.terminate()
