"""What the database itself refuses, whoever writes: every row here differs in one value from one that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, CursorResult, Engine, insert, text, update
from sqlalchemy.exc import IntegrityError

from rebalancer_pipelines.adapters.postgres.tables import Base

from .stored import NOON

_ID = {name: uuid4() for name in ("account", "portfolio", "rebalance", "order_intent", "paper_order", "batch")}

_OF_ORDER = {
    "account_id": _ID["account"],
    "client_order_id": "C1",
    "symbol": "BTC/EUR",
    "base_currency": "BTC",
    "quote_currency": "EUR",
    "side": "buy",
    "quantity": 1,
    "limit_price": 100,
}
_OF_TRADE = {"trade_id": "T1", "quantity": 1, "price": 100, "fee": 0, "fee_currency": "EUR", "executed_at": NOON}
_OF_DAY = {"portfolio_id": _ID["portfolio"], "basis": "booked", "day": NOON.date()}

_ROWS: dict[str, dict[str, Any]] = {
    "account": {
        "id": _ID["account"],
        "name": "main",
        "venue": "paper",
        "price_source": "recorded",
        "key_fingerprint": "F1",
    },
    "portfolio": {"id": _ID["portfolio"], "name": "long-term", "account_id": _ID["account"]},
    "target_weight": {"portfolio_id": _ID["portfolio"], "currency": "BTC", "weight": 100},
    "portfolio_due": {
        "portfolio_id": _ID["portfolio"],
        "is_scheduled": False,
        "batch_id": _ID["batch"],
        "triggered_by": "sensor",
        "scheduled_for": NOON,
        "claimed_at": NOON,
    },
    "drift_watch": {"portfolio_id": _ID["portfolio"], "claimed_at": NOON},
    "notification": {"kind": "paused", "subject": "s", "title": "t", "body": "b", "created_at": NOON},
    "rebalance": {
        "id": _ID["rebalance"],
        "portfolio_id": _ID["portfolio"],
        "account_id": _ID["account"],
        "epoch": 1,
        "status": "active",
        "dry_run": False,
        "triggered_by": "manual",
        "dagster_run_id": "run",
        "scheduled_for": NOON,
        "started_at": NOON,
    },
    "account_balance": {"rebalance_id": _ID["rebalance"], "currency": "BTC", "total": 1, "free": 1},
    "price_mark": {
        "rebalance_id": _ID["rebalance"],
        "symbol": "BTC/EUR",
        "bid": 100,
        "ask": 102,
        "mid": 101,
        "source": "test",
        "observed_at": NOON,
    },
    "portfolio_position": {
        "rebalance_id": _ID["rebalance"],
        "phase": "before",
        "currency": "BTC",
        "quantity": 1,
        "free": 1,
        "price": 100,
        "value": 100,
        "weight": 100,
        "target": 100,
    },
    "order_intent": {
        **_OF_ORDER,
        "id": _ID["order_intent"],
        "rebalance_id": _ID["rebalance"],
        "portfolio_id": _ID["portfolio"],
        "sequence": 0,
        "price": 100,
        "state": "OPEN",
        "venue_order_id": "V1",
        "dry_run": False,
    },
    "fill": {
        **_OF_TRADE,
        "notional": 100,
        "order_intent_id": _ID["order_intent"],
        "account_id": _ID["account"],
        "liquidity_side": "taker",
    },
    "ledger_entry": {
        "account_id": _ID["account"],
        "portfolio_id": _ID["portfolio"],
        "kind": "deposit",
        "currency": "EUR",
        "amount": 1,
        "cause": "test",
        "occurred_at": NOON,
        "venue_entry_id": "L1",
    },
    "rebalance_history": {
        "portfolio_id": _ID["portfolio"],
        "executed_at": NOON,
        "success": True,
        "dry_run": False,
        "portfolio_value": 1,
        "orders_planned": 0,
        "orders_executed": 0,
        "orders_failed": 0,
        "total_value_traded": 0,
        "fees_paid": 0,
        "orders": [],
        "triggered_by": "manual",
        "duration_ms": 0,
        "price_source": "recorded",
    },
    "activity_log": {"occurred_at": NOON, "action": "a", "subject": "s", "detail": {}},
    "paper_balance": {"account_id": _ID["account"], "currency": "EUR", "total": 1, "locked": 1},
    "paper_order": {**_OF_ORDER, "id": _ID["paper_order"], "status": "open", "created_at": NOON},
    "paper_trade": {**_OF_TRADE, "order_id": _ID["paper_order"]},
    "recorded_clock": {"recorded_at": NOON, "started_at": NOON, "speed": 1},
    "kill_switch": {"reason": "test", "engaged_at": NOON},
    "venue_key": {"account_id": _ID["account"]},
    "price_bar": {
        "price_source": "recorded",
        "symbol": "BTC/EUR",
        "timeframe": "1d",
        "opened_at": NOON,
        "open": 100,
        "high": 102,
        "low": 98,
        "close": 101,
        "volume": 1,
        "origin": "recording",
    },
    "rehearsed_deposit": {
        "portfolio_id": _ID["portfolio"],
        "currency": "EUR",
        "occurred_at": NOON,
        "amount": 1,
    },
    "daily_portfolio_value": {
        **_OF_DAY,
        "valuation_currency": "EUR",
        "value": 1,
        "inflow": 1,
        "outflow": 0,
        "missing": [],
        "entry_count": 1,
    },
    "daily_holding": {**_OF_DAY, "currency": "EUR", "units": 1, "price": 1},
    "history_change": {"subject": "rebalances", "portfolio_id": _ID["portfolio"], "day": NOON.date()},
}
_ADDED_BY_THE_DATABASE = {"portfolio_due"}
_NOTED_DAYS = 2
"""The rows of the two tables of days are noted as changes by triggers."""


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction in which every table has one row."""
    with engine.connect() as connection:
        for table, row in _ROWS.items():
            if table in _ADDED_BY_THE_DATABASE:
                change(connection, table, **row)
            else:
                add(connection, table)
        yield connection


def add(connection: Connection, table: str, **changes: Any) -> CursorResult[Any]:
    return connection.execute(insert(Base.metadata.tables[table]).values({**_ROWS[table], **changes}))


def change(connection: Connection, table: str, **changes: Any) -> None:
    """Change the row that is there; only here may that be a row of the ledger."""
    if table == "ledger_entry":
        connection.execute(text("ALTER TABLE ledger_entry DISABLE TRIGGER USER"))
    connection.execute(update(Base.metadata.tables[table]).values(changes))


def test_every_table_has_an_example(connection: Connection) -> None:
    assert set(_ROWS) == set(Base.metadata.tables)
    for table in _ROWS:
        expected = 1 + _NOTED_DAYS if table == "history_change" else 1
        assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == expected, table


_NOT_A_PRICE = (0, -1, "NaN", "Infinity")
_NOT_AN_AMOUNT = (-1, "NaN", "Infinity")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")

_REFUSED_VALUES: dict[tuple[str, str], tuple[Any, ...]] = {
    ("account", "trading_state"): ("paused", "ACTIVE"),
    ("account", "credentials"): ({"secret": "s"}, {"key_env": "K", "secret_env": "S", "key": "k"}, ["sealed"]),
    ("portfolio", "rebalance_interval"): ("yearly",),
    ("portfolio", "drift_band_kind"): ("other",),
    ("portfolio", "rebalance_threshold"): _NOT_A_PRICE,
    ("portfolio", "drift_band"): (0, -1, "100.0001", "NaN", "Infinity"),
    ("portfolio", "max_orders_per_rebalance"): (0, -1),
    ("portfolio", "cash_reserve"): (-1, 1, "NaN", "Infinity"),
    ("portfolio", "failures_in_a_row"): (-1,),
    ("portfolio", "paused_at"): (NOON,),
    ("portfolio", "paused_reason"): ("a pause without its time",),
    ("portfolio_due", "triggered_by"): ("cron",),
    ("portfolio_due", "tries"): (-1,),
    ("portfolio_due", "batch_id"): (None,),
    ("portfolio_due", "claimed_at"): (None,),
    ("notification", "kind"): ("gossip",),
    ("notification", "attempts"): (-1,),
    ("target_weight", "weight"): ("-0.000001", "100.000001", "NaN", "Infinity"),
    ("rebalance", "status"): ("open",),
    ("rebalance", "triggered_by"): ("cron",),
    ("account_balance", "total"): _NOT_AN_AMOUNT,
    ("account_balance", "free"): (-1, "1.000000000000000001", "NaN", "Infinity"),
    ("price_mark", "bid"): (0, -1, "102.01", "NaN", "Infinity"),
    ("price_mark", "ask"): (0, "99.99", "NaN", "Infinity"),
    ("price_mark", "mid"): (0, "99.99", "102.01", "NaN", "Infinity"),
    ("portfolio_position", "phase"): ("during",),
    ("order_intent", "side"): ("hold", "BUY"),
    ("order_intent", "state"): ("NEW", "open"),
    ("order_intent", "quantity"): _NOT_A_PRICE,
    ("order_intent", "price"): _NOT_A_PRICE,
    ("order_intent", "limit_price"): _NOT_A_PRICE,
    ("order_intent", "sequence"): (-1,),
    ("order_intent", "portfolio_id"): (None,),
    ("order_intent", "rebalance_id"): (None,),
    ("order_intent", "netted_quantity"): ("0.5",),
    ("fill", "liquidity_side"): ("both",),
    ("fill", "quantity"): (*_NOT_A_PRICE, "1.000000000000000001"),
    ("fill", "price"): _NOT_A_PRICE,
    ("fill", "notional"): _NOT_AN_AMOUNT,
    ("fill", "fee"): _NOT_FINITE,
    ("ledger_entry", "kind"): ("gift",),
    ("ledger_entry", "amount"): (0, *_NOT_FINITE),
    ("rebalance_history", "triggered_by"): ("cron",),
    ("rebalance_history", "orders_planned"): (-1,),
    ("rebalance_history", "orders_executed"): (-1,),
    ("rebalance_history", "orders_failed"): (-1,),
    ("rebalance_history", "duration_ms"): (-1,),
    ("rebalance_history", "total_value_traded"): _NOT_AN_AMOUNT,
    ("rebalance_history", "portfolio_value"): _NOT_FINITE,
    ("rebalance_history", "fees_paid"): _NOT_FINITE,
    ("rebalance_history", "value_crossed"): _NOT_AN_AMOUNT,
    ("rebalance_history", "fees_saved"): _NOT_AN_AMOUNT,
    ("paper_balance", "total"): _NOT_AN_AMOUNT,
    ("paper_balance", "locked"): (-1, "1.01", "NaN", "Infinity"),
    ("paper_order", "side"): ("hold",),
    ("paper_order", "status"): ("filled",),
    ("paper_order", "quantity"): _NOT_A_PRICE,
    ("paper_order", "limit_price"): _NOT_A_PRICE,
    ("paper_order", "filled_quantity"): (-1, "1.01", "NaN", "Infinity"),
    ("paper_trade", "quantity"): _NOT_A_PRICE,
    ("paper_trade", "price"): _NOT_A_PRICE,
    ("paper_trade", "fee"): _NOT_FINITE,
    ("recorded_clock", "speed"): _NOT_A_PRICE,
    ("recorded_clock", "only_row"): (False,),
    ("kill_switch", "only_row"): (False,),
    ("venue_key", "last_nonce"): (-1,),
    ("venue_key", "rest_counter"): _NOT_AN_AMOUNT,
    ("price_bar", "timeframe"): ("2h", "1D"),
    ("price_bar", "origin"): ("guess",),
    ("price_bar", "open"): (97, 103, "NaN"),
    ("price_bar", "close"): (97, 103, "NaN"),
    ("price_bar", "low"): (0, 101, "NaN"),
    ("price_bar", "high"): (100, "NaN", "Infinity"),
    ("price_bar", "volume"): _NOT_AN_AMOUNT,
    ("rehearsed_deposit", "amount"): _NOT_A_PRICE,
    ("daily_portfolio_value", "value"): (None,),
    ("daily_portfolio_value", "missing"): (["BTC"],),
    ("history_change", "subject"): ("fills", "days"),
    ("history_change", "basis"): ("booked",),
}


@pytest.mark.parametrize(("table", "column"), list(_REFUSED_VALUES))
def test_a_value_that_can_never_be_right_is_refused(connection: Connection, table: str, column: str) -> None:
    for value in _REFUSED_VALUES[table, column]:
        with connection.begin_nested() as attempt:
            with pytest.raises(IntegrityError) as caught:
                change(connection, table, **{column: value})
            attempt.rollback()
        assert caught.value.orig.sqlstate == "23514", f"{column} = {value}: {caught.value.orig}"


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("account", {"credentials": {"key_env": "K", "secret_env": "S", "sealed": "x"}}),
        ("account", {"credentials": {}}),
        ("target_weight", {"weight": None}),
        ("target_weight", {"weight": 0}),
        ("portfolio", {"drift_band": 100, "cash_reserve": "0.9999", "max_orders_per_rebalance": 1}),
        ("account_balance", {"total": 0, "free": 0}),
        ("price_mark", {"bid": 100, "mid": 100, "ask": 100}),
        ("order_intent", {"rebalance_id": None, "portfolio_id": None}),
        ("fill", {"liquidity_side": "internal"}),
        ("fill", {"fee": "-0.01"}),
        ("fill", {"notional": "0"}),
        ("ledger_entry", {"amount": "-0.000000000000000001"}),
        ("ledger_entry", {"kind": "outside_trade"}),
        ("ledger_entry", {"kind": "reward"}),
        ("venue_key", {"last_nonce": 2**63 - 1, "rest_counter": 0}),
        ("rebalance_history", {"portfolio_value": None}),
        ("rebalance", {"status": "finished", "finished_at": NOON}),
        ("rebalance", {"plan": {}, "plan_hash": "abc"}),
    ],
)
def test_a_value_at_the_edge_is_taken(connection: Connection, table: str, changes: dict[str, Any]) -> None:
    change(connection, table, **changes)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"status": "finished"}, "ck_rebalance_finished_at_matches_status"),
        ({"finished_at": NOON}, "ck_rebalance_finished_at_matches_status"),
        ({"plan": {}}, "ck_rebalance_plan_has_its_hash"),
        ({"plan_hash": "abc"}, "ck_rebalance_plan_has_its_hash"),
    ],
)
def test_a_rebalance_is_of_one_piece(connection: Connection, changes: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        change(connection, "rebalance", **changes)


_OTHER = uuid4()


@pytest.mark.parametrize(
    ("table", "changes", "constraint"),
    [
        ("account", {"id": _OTHER, "key_fingerprint": None}, "uq_account_name"),
        ("account", {"id": _OTHER, "name": "other"}, "uq_account_key_fingerprint"),
        ("portfolio", {"id": _OTHER}, "uq_portfolio_name"),
        ("target_weight", {}, "pk_target_weight"),
        (
            "rebalance",
            {"id": _OTHER, "status": "finished", "finished_at": NOON, "scheduled_for": None},
            "uq_rebalance_dagster_run_id_portfolio_id",
        ),
        (
            "rebalance",
            {"id": _OTHER, "status": "finished", "finished_at": NOON, "dagster_run_id": "other"},
            "uq_rebalance_claim",
        ),
        ("rebalance", {"id": _OTHER, "dagster_run_id": "other", "scheduled_for": None}, "uq_rebalance_active"),
        ("portfolio_due", {}, "pk_portfolio_due"),
        ("drift_watch", {}, "pk_drift_watch"),
        ("account_balance", {}, "pk_account_balance"),
        ("price_mark", {}, "pk_price_mark"),
        ("portfolio_position", {}, "pk_portfolio_position"),
        (
            "order_intent",
            {"id": _OTHER, "sequence": 1, "venue_order_id": None},
            "uq_order_intent_client_order_id",
        ),
        (
            "order_intent",
            {"id": _OTHER, "client_order_id": "C2", "venue_order_id": None},
            "uq_order_intent_rebalance_id_sequence",
        ),
        ("order_intent", {"id": _OTHER, "client_order_id": "C2", "sequence": 1}, "uq_order_intent_venue_order"),
        ("fill", {}, "uq_fill_account_id_trade_id"),
        ("paper_balance", {}, "pk_paper_balance"),
        ("paper_order", {"id": _OTHER}, "uq_paper_order_open"),
        ("paper_trade", {}, "uq_paper_trade_trade_id"),
        ("recorded_clock", {}, "pk_recorded_clock"),
        ("kill_switch", {}, "pk_kill_switch"),
        ("venue_key", {}, "pk_venue_key"),
        ("price_bar", {}, "pk_price_bar"),
        ("rehearsed_deposit", {}, "pk_rehearsed_deposit"),
        ("daily_portfolio_value", {}, "pk_daily_portfolio_value"),
        ("daily_holding", {}, "pk_daily_holding"),
        ("ledger_entry", {"currency": "BTC", "portfolio_id": None}, "uq_ledger_entry_venue_entry"),
    ],
)
def test_what_may_be_there_once_is_refused_twice(
    connection: Connection, table: str, changes: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        add(connection, table, **changes)


def test_a_client_order_id_may_come_back_at_the_paper_venue_once_its_order_is_closed(connection: Connection) -> None:
    for status in ("closed", "canceled", "expired", "closed"):
        add(connection, "paper_order", id=uuid4(), status=status)


def test_accounts_without_a_key_are_not_taken_for_one(connection: Connection) -> None:
    for name in ("second", "third"):
        add(connection, "account", id=uuid4(), name=name, key_fingerprint=None)


def test_a_line_of_the_venues_ledger_is_booked_beside_its_fee_and_others_beside_it(connection: Connection) -> None:
    other = uuid4()
    add(connection, "account", id=other, name="other", key_fingerprint="F2")
    add(connection, "ledger_entry", kind="fee")
    add(connection, "ledger_entry", venue_entry_id="L2")
    add(connection, "ledger_entry", account_id=other, portfolio_id=None)
    for _ in range(2):
        add(connection, "ledger_entry", venue_entry_id=None)


def test_a_key_starts_at_nothing_and_goes_with_its_account(connection: Connection) -> None:
    used = text("SELECT last_nonce, rest_counter, rest_counted_at, trading_counters FROM venue_key")
    assert tuple(connection.execute(used).one()) == (0, 0, None, {})
    spare = uuid4()
    add(connection, "account", id=spare, name="spare", key_fingerprint=None)
    add(connection, "venue_key", account_id=spare)
    connection.execute(text("DELETE FROM account WHERE name = 'spare'"))
    assert connection.execute(text("SELECT count(*) FROM venue_key")).scalar_one() == 1


def test_orders_without_an_id_at_the_venue_are_not_taken_for_one(connection: Connection) -> None:
    for sequence in (1, 2):
        add(
            connection,
            "order_intent",
            id=uuid4(),
            sequence=sequence,
            client_order_id=f"C{sequence + 1}",
            venue_order_id=None,
        )


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table.name, column.name)
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.foreign_keys
    ],
)
def test_nothing_refers_to_what_is_not_there(connection: Connection, table: str, column: str) -> None:
    absent = {"basis": "rehearsed", "day": date(1999, 12, 31)}.get(column, uuid4())
    with pytest.raises(IntegrityError, match="violates foreign key constraint"):
        change(connection, table, **{column: absent, **({"netted_quantity": 1} if column == "netted_into" else {})})


def test_an_account_stays_while_a_portfolio_lives_on_it(connection: Connection) -> None:
    with pytest.raises(IntegrityError, match="fk_portfolio_account_id"):
        connection.execute(text("DELETE FROM account"))


def test_keys_are_made_by_the_database_in_the_order_of_time(connection: Connection) -> None:
    made = [
        connection.execute(
            text(
                "INSERT INTO activity_log (occurred_at, action, subject, detail) VALUES (now(), 'a', 's', '{}') "
                "RETURNING id"
            )
        ).scalar_one()
        for _ in range(50)
    ]
    assert {key.version for key in made} == {7}
    assert made == sorted(made)


def test_money_is_stored_to_the_last_digit(connection: Connection) -> None:
    amount = "123456789012345678901234567890.123456789012345678901234567890"
    change(connection, "ledger_entry", amount=amount)
    assert str(connection.execute(text("SELECT amount FROM ledger_entry")).scalar_one()) == amount
