"""Kraken's balances, ledger and permissions as the rest of the program sees them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.kraken.catalogue import Catalogue
from rebalancer_pipelines.adapters.venues.ccxt.kraken.holdings import read_holdings
from rebalancer_pipelines.adapters.venues.ccxt.kraken.json_answer import parse
from rebalancer_pipelines.adapters.venues.ccxt.kraken.ledger import movement_of, read_lines
from rebalancer_pipelines.adapters.venues.ccxt.kraken.permissions import NEEDED, read_permissions
from rebalancer_pipelines.adapters.venues.ccxt.kraken.reply import MalformedReplyError, moment, number, texts, whole
from rebalancer_pipelines.application.ports import MovementKind
from rebalancer_pipelines.domain.portfolio import Holding

CATALOGUE = Catalogue(
    listings={},
    codes={
        "XXBT": "BTC",
        "XBT": "BTC",
        "XETH": "ETH",
        "ETH": "ETH",
        "ZEUR": "EUR",
        "XXDG": "DOGE",
        "XDG": "DOGE",
        "DOT": "DOT",
        "C98": "C98",
        "1INCH": "1INCH",
    },
)


def held(**rows: tuple[str, str]) -> dict[str, Any]:
    return {
        name.replace("__", "."): {"balance": balance, "hold_trade": hold, "credit": "0", "credit_used": "0"}
        for name, (balance, hold) in rows.items()
    }


@pytest.mark.parametrize(
    ("asset", "currency", "suffix"),
    [
        ("XXBT", "BTC", None),
        ("XBT.M", "BTC", "M"),
        ("XBT.F", "BTC", "F"),
        ("XETH", "ETH", None),
        ("ETH.B", "ETH", "B"),
        ("ZEUR", "EUR", None),
        ("EUR.HOLD", "EUR", "HOLD"),
        ("XDG.F", "DOGE", "F"),
        ("DOT28.S", "DOT", "S"),
        ("DOT.S", "DOT", "S"),
        ("C98.S", "C98", "S"),
        ("1INCH.S", "1INCH", "S"),
        ("KAVA21.S", "KAVA", "S"),
        ("KFEE", "KFEE", None),
        ("NEW", "NEW", None),
        ("XBT.X", "BTC.X", None),
        ("NEW.PRIME", "NEW.PRIME", None),
        ("DOT28.X", "DOT28.X", None),
    ],
)
def test_every_form_of_a_currency_is_that_currency(asset: str, currency: str, suffix: str | None) -> None:
    form = CATALOGUE.form_of(asset)
    assert (form.currency, form.suffix) == (currency, suffix)


def test_all_forms_count_and_only_spendable_ones_are_free() -> None:
    holdings = read_holdings(
        held(
            XETH=("1.5", "0.25"),
            ETH__F=("2", "0"),
            ETH__S=("4", "0"),
            ETH__B=("8", "0"),
            ETH__M=("16", "0"),
            DOT28__S=("5.0000000001", "0"),
            EUR__HOLD=("100", "0"),
            ZEUR=("0.0001", "0"),
        ),
        CATALOGUE,
    )
    assert holdings == {
        "ETH": Holding(Decimal("31.5"), Decimal("3.25")),
        "DOT": Holding(Decimal("5.0000000001"), Decimal(0)),
        "EUR": Holding(Decimal("100.0001"), Decimal("0.0001")),
    }


def test_units_that_orders_hold_are_not_free_and_never_less_than_nothing() -> None:
    assert read_holdings(held(XXBT=("1", "1.5")), CATALOGUE) == {"BTC": Holding(Decimal(1), Decimal(0))}
    # Rewards back an open order too.
    assert read_holdings(held(XXBT=("1", "1.5"), XBT__F=("1", "0")), CATALOGUE) == {
        "BTC": Holding(Decimal(2), Decimal("0.5"))
    }


def test_nothing_is_left_out() -> None:
    assert read_holdings(held(XXBT=("0.0000000000", "0"), NEW=("0", "0")), CATALOGUE) == {}


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"balance": "1"},
        {"balance": None, "hold_trade": "0"},
        {"balance": "NaN", "hold_trade": "0"},
        {"balance": "Infinity", "hold_trade": "0"},
        {"balance": "1", "hold_trade": "-1"},
        {"balance": True, "hold_trade": "0"},
        "1",
        None,
    ],
)
def test_a_balance_that_is_none_is_no_empty_one(row: object) -> None:
    with pytest.raises(MalformedReplyError):
        read_holdings({"ZEUR": {"balance": "1", "hold_trade": "0"}, "XXBT": row}, CATALOGUE)


def a_line(**changes: Any) -> dict[str, Any]:
    return {
        "refid": "TXXXXX-1",
        "time": Decimal("1772452800.1234567"),
        "type": "trade",
        "subtype": "tradespot",
        "asset": "XXBT",
        "amount": "-0.0100000000",
        "fee": "0.0000000000",
        "balance": "1.0000000000",
        **changes,
    }


@pytest.mark.parametrize(
    ("kind", "subtype", "expected"),
    [
        ("trade", "tradespot", MovementKind.TRADE),
        ("deposit", "", MovementKind.DEPOSIT),
        ("withdrawal", "", MovementKind.WITHDRAWAL),
        ("staking", "", MovementKind.REWARD),
        ("reward", "", MovementKind.REWARD),
        ("dividend", "", MovementKind.REWARD),
        ("airdrop", "", MovementKind.REWARD),
        ("earn", "reward", MovementKind.REWARD),
        ("earn", "bonusreward", MovementKind.REWARD),
        ("earn", "allocation", MovementKind.CONVERSION),
        ("earn", "deallocation", MovementKind.CONVERSION),
        ("earn", "autoallocation", MovementKind.CONVERSION),
        ("earn", "migration", MovementKind.CONVERSION),
        ("transfer", "spottostaking", MovementKind.CONVERSION),
        ("transfer", "stakingfromspot", MovementKind.CONVERSION),
        ("transfer", "spottofutures", MovementKind.OTHER),
        ("transfer", "", MovementKind.OTHER),
        ("settled", "", MovementKind.OTHER),
        ("adjustment", "", MovementKind.OTHER),
        ("credit", "", MovementKind.OTHER),
        ("rollover", "", MovementKind.OTHER),
        ("margin", "", MovementKind.OTHER),
        ("spend", "", MovementKind.OTHER),
        ("receive", "", MovementKind.OTHER),
        ("something new", "", MovementKind.OTHER),
    ],
)
def test_every_line_has_a_kind(kind: str, subtype: str, expected: MovementKind) -> None:
    (line,) = read_lines({"L1": a_line(type=kind, subtype=subtype)}, CATALOGUE)
    movement = movement_of(line)
    assert movement.kind is expected
    assert movement.words == f"{kind} {subtype}".strip()
    assert movement.trade_id == ("TXXXXX-1" if kind == "trade" else None)


def test_a_line_is_read_exactly() -> None:
    (line,) = read_lines({"L1": a_line(amount="-0.1234567890", fee="0.0000000001", asset="XBT.F")}, CATALOGUE)
    movement = movement_of(line)
    assert (movement.currency, movement.amount, movement.fee) == (
        "BTC",
        Decimal("-0.1234567890"),
        Decimal("0.0000000001"),
    )
    assert movement.occurred_at == datetime(2026, 3, 2, 12, 0, 0, 123_456, tzinfo=UTC)


def test_lines_are_sorted_by_time() -> None:
    lines = read_lines({f"L{n}": a_line(time=n) for n in (3, 1, 2)}, CATALOGUE)
    assert [line.entry_id for line in lines] == ["L1", "L2", "L3"]


@pytest.mark.parametrize("name", ["refid", "time", "type", "asset", "amount", "fee"])
@pytest.mark.parametrize("value", [None, "", [], {}])
def test_a_line_that_lacks_something_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedReplyError):
        read_lines({"L1": a_line(**{name: value})}, CATALOGUE)


def test_a_key_that_may_do_what_is_needed_lacks_nothing() -> None:
    permissions = read_permissions({"permissions": [*NEEDED, "export-data"]})
    assert (permissions.can_withdraw, permissions.missing) == (False, ())


@pytest.mark.parametrize("name", ["withdraw-funds", "add-withdraw-address", "update-withdraw-address"])
def test_a_key_that_may_withdraw_is_known(name: str) -> None:
    assert read_permissions({"permissions": [*NEEDED, name]}).can_withdraw


@pytest.mark.parametrize(("name", "words"), NEEDED.items())
def test_what_is_missing_is_told_in_krakens_words(name: str, words: str) -> None:
    assert read_permissions({"permissions": [each for each in NEEDED if each != name]}).missing == (words,)
    assert len(read_permissions({"permissions": []}).missing) == len(NEEDED)


@pytest.mark.parametrize("result", [{}, {"permissions": None}, {"permissions": "query-funds"}, {"permissions": [1]}])
def test_permissions_that_are_not_told_are_not_taken_for_none(result: dict[str, Any]) -> None:
    with pytest.raises(MalformedReplyError):
        read_permissions(result)


def test_numbers_never_pass_through_a_float() -> None:
    row = parse('{"a": 0.1000000000000000055511151231257827, "b": "1e-3", "c": 1772452800.1234567, "d": 12}')
    assert number(row, "a") == Decimal("0.1000000000000000055511151231257827")
    assert number(row, "b") == Decimal("0.001")
    assert moment(row, "c") == datetime(2026, 3, 2, 12, 0, 0, 123_456, tzinfo=UTC)
    assert whole(row, "d") == 12


@pytest.mark.parametrize("value", ["x", None, True, [], {}, "", "NaN", "-Infinity"])
def test_what_is_no_number_is_refused(value: object) -> None:
    for read in (number, moment, whole):
        with pytest.raises(MalformedReplyError):
            read({"a": value}, "a")


def test_a_time_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(MalformedReplyError):
        moment({"a": "1e30"}, "a")
    with pytest.raises(MalformedReplyError):
        whole({"a": "1.5"}, "a")


def test_a_list_may_be_left_out_but_not_be_something_else() -> None:
    assert texts({}, "trades") == ()
    for value in ("T1", [1], {}):
        with pytest.raises(MalformedReplyError):
            texts({"trades": value}, "trades")


@pytest.mark.parametrize("body", ["", "NaN", '{"a": NaN}', '{"a": Infinity}', "{", "[" * 100_000])
def test_what_is_no_json_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(body)
