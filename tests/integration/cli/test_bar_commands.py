"""`rebalancer bars …` as a person types it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rebalancer_pipelines.domain.day_span import start_of
from tests.support.kraken_double import KrakenDouble, Status
from tests.support.stored import Stored

Cli = Callable[..., Any]

HEADER = "symbol,opened_at,open,high,low,close,volume"
GOOD = "BTC/EUR,2018-10-01,5700,5800.5,5650,5712.25,1234.5"
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bars"
    made.mkdir()
    (made / "bars.csv").write_text(f"{HEADER}\n{GOOD}\n")
    return made


def collect(first: object, last: object, *options: str) -> list[str]:
    return ["bars", "collect", "--from", str(first), "--to", str(last), *options]


def test_the_recording_is_collected_and_a_second_time_changes_nothing(cli: Cli, stored: Stored) -> None:
    first = cli(*collect("2018-10-01", "2018-10-31"))
    assert first.code == 0
    assert "Bars of 1d, 2018-10-01 to 2018-10-31" in first.out
    assert "│ recorded │ BTC/EUR │    31 │       0 │         0 │         0 │" in first.out
    before = stored.everything()
    second = cli(*collect("2018-10-01", "2018-10-31", "--json"))
    assert stored.everything() == before
    assert second.json["stored"][0] == {
        "price_source": "recorded",
        "symbol": "BTC/EUR",
        "added": 0,
        "changed": 0,
        "unchanged": 31,
        "outranked": 0,
    }
    assert {key: second.json[key] for key in ("from", "to", "timeframe", "gaps", "unread")} == {
        "from": "2018-10-01", "to": "2018-10-31", "timeframe": "1d", "gaps": [], "unread": [],
    }  # fmt: skip


def test_gaps_are_listed(cli: Cli) -> None:
    collected = cli(*collect("2019-01-07", "2019-01-07", "--timeframe", "1h"))
    assert collected.code == 0
    assert "│ recorded │ BTC/EUR │ 2019-01-07 11:00 │ 2019-01-07 12:00 │    2 │" in collected.out
    assert (
        "recorded BTC/EUR, EOS/EUR, ETH/EUR, LTC/EUR, XRP/EUR: prices are missing: the recording covers"
        in collected.out
    )
    gaps = cli("bars", "gaps", "--timeframe", "1h", "--json").json
    assert gaps[0] == {
        "price_source": "recorded",
        "symbol": "BTC/EUR",
        "timeframe": "1h",
        "first": "2019-01-07T11:00:00+00:00",
        "last": "2019-01-07T12:00:00+00:00",
        "bars": 2,
    }
    assert "2019-01-07 11:00" in cli("bars", "gaps", "--timeframe", "1h").out


def test_a_market_that_could_not_be_read_is_exit_1_with_all_others_stored(
    cli: Cli, kraken: KrakenDouble, stored: Stored
) -> None:
    stored.change(
        "INSERT INTO account (name, venue, price_source, endpoint) VALUES ('k', 'kraken', 'live', %s)", kraken.url
    )
    stored.change("INSERT INTO portfolio (name, account_id) SELECT 'core', id FROM account")
    for currency in ("BTC", "ETH"):
        stored.change("INSERT INTO target_weight (portfolio_id, currency) SELECT id, %s FROM portfolio", currency)
        kraken.draw(f"{currency}/EUR", 1440, start_of(YESTERDAY), ["100", "101"])
    kraken.inject("OHLC", Status(502))
    outcome = cli(*collect(YESTERDAY, YESTERDAY))
    assert outcome.code == 1
    assert "NOT READ: live BTC/EUR: kraken's bars of BTC/EUR cannot be read: " in outcome.out
    assert stored.row("SELECT symbol, close FROM price_bar")["symbol"] == "ETH/EUR"


def test_files_are_imported(cli: Cli, folder: Path, stored: Stored) -> None:
    imported = cli("bars", "import", str(folder), "--prices", "live", "--timeframe", "1d", "--json")
    assert imported.json == [
        {"price_source": "live", "symbol": "BTC/EUR", "added": 1, "changed": 0, "unchanged": 0, "outranked": 0}
    ]
    assert stored.row("SELECT origin, timeframe FROM price_bar") == {"origin": "file", "timeframe": "1d"}
    again = cli("bars", "import", str(folder), "--prices", "live", "--timeframe", "1d")
    assert (again.code, again.err) == (0, "")
    assert "│ live   │ BTC/EUR │     0 │       0 │         1 │         0 │" in again.out


def test_an_imported_bar_does_not_replace_the_recordings(cli: Cli, folder: Path) -> None:
    cli(*collect("2018-10-01", "2018-10-01"))
    outcome = cli("bars", "import", str(folder), "--prices", "recorded", "--timeframe", "1d")
    assert "Outranked: other bars stand, which are of the venue or the recording itself." in outcome.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (collect("2018-10-02", "2018-10-01"), "from: '2018-10-02' lies after 2018-10-01; exchange the two days"),
        (collect("2018-10-01", "tomorrow"), "to: 'tomorrow' is not a day; write it like 2018-10-01"),
        (collect("2018-13-01", "2018-10-01"), "from: '2018-13-01' is not a day; write it like 2018-10-01"),
        (collect("2018-10-01", TODAY), f"to: '{TODAY}' has not ended (UTC); the last day that has is {YESTERDAY}"),
        (collect("2018-10-01", "2999-01-01"), f"lies in the future; the last day that has ended is {YESTERDAY}"),
        (collect("1999-10-01", "2018-10-01"), "from: '1999-10-01' lies before every market; use 2010-01-01 or later"),
        (collect("2018-10-01", "2018-10-01", "--timeframe", "1w"), "timeframe: '1w' is unknown; use 1h or 1d"),
        (collect("2016-01-01", "2016-01-31"), "days: '2016-01-01 to 2016-01-31' have no prices (no portfolio needs"),
        (["bars", "collect", "--from", "2018-10-01"], "Missing option '--to'"),
        (["bars", "gaps", "--timeframe", "day"], "timeframe: 'day' is unknown; use 1h or 1d"),
        (["bars", "import", "/nowhere", "--prices", "live"], "folder: '/nowhere' cannot be read: No such file"),
        (["bars", "import", "/nowhere", "--prices", "real"], "prices: 'real' is not a price source; use recorded"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_stores_nothing(cli: Cli, stored: Stored, arguments: list[str], said: str) -> None:
    before = stored.everything()
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert stored.everything() == before


@pytest.mark.parametrize("as_json", [True, False])
def test_a_bad_row_is_one_line_and_nothing_of_the_folder_is_stored(
    cli: Cli, stored: Stored, folder: Path, as_json: bool
) -> None:
    (folder / "zz.csv").write_text(f"{HEADER}\n{GOOD.replace('BTC', 'ETH')}\n{GOOD.replace('5700', 'lots')}\n")
    before = stored.everything()
    options = ["--json"] if as_json else []
    outcome = cli("bars", "import", str(folder), "--prices", "live", "--timeframe", "1d", *options)
    said = "Error: zz.csv line 3, open: 'lots' is not a number; write it like 12.5\n"
    assert (outcome.code, outcome.out, outcome.err) == (2, "", said)
    assert stored.everything() == before
