"""Run the double by itself: prints its url, key and secret as one line of JSON and serves until it is told to end."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from datetime import timedelta

from tests.support.kraken_double.clock import SystemClock
from tests.support.kraken_double.gate import DEFAULT_KEY, DEFAULT_PERMISSIONS, DEFAULT_SECRET
from tests.support.kraken_double.running import kraken_double


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.kraken_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 is any free port")
    parser.add_argument("--tier", choices=("starter", "intermediate", "pro"), default="starter")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="real milliseconds that a request takes")
    parser.add_argument("--balance", action="append", default=[], metavar="EUR=10000", help="may be repeated")
    parser.add_argument("--key", default=DEFAULT_KEY)
    parser.add_argument("--secret", default=DEFAULT_SECRET, help="base64")
    parser.add_argument("--permissions", default=",".join(DEFAULT_PERMISSIONS), help="with commas between them")
    parser.add_argument("--seed", type=int, default=1, help="decides the ids of orders, trades and ledger lines")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="seconds that Kraken's clock is ahead of ours")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with kraken_double(
        port=options.port,
        clock=SystemClock(timedelta(seconds=options.clock_offset)),
        tier=options.tier,
        latency=options.latency_ms / 1000,
        balances=dict(balance.split("=", 1) for balance in options.balance),
        key=options.key,
        secret=options.secret,
        permissions=options.permissions.split(","),
        seed=options.seed,
    ) as double:
        print(json.dumps({"url": double.url, "key": double.key, "secret": double.secret}), flush=True)  # noqa: T201
        ended.wait()


main()
