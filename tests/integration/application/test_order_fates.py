"""What becomes of an order when the answer of the venue is lost or the venue goes away."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from rebalancer_pipelines.application.portfolios import create_portfolio, delete_portfolio, update_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.recovery import recover_abandoned_accounts
from rebalancer_pipelines.domain.errors import DeniedError, InvalidInputError
from rebalancer_pipelines.domain.values import Currency
from tests.support.paper_account import open_paper_account
from tests.support.ports_on import ports_on
from tests.support.rebalancing import rebalance
from tests.support.running_clock import RunningClock
from tests.support.stored import MORNING, Stored


@pytest.fixture
def ports(ready_database: str, stored: Stored, tmp_path: Path) -> Iterator[Ports]:
    stored.show_recording(MORNING)
    with ports_on(ready_database, RunningClock(), tmp_path) as ports:
        open_paper_account(ports, {Currency("EUR"): Decimal(1000)})
        create_portfolio(ports, {"name": "core", "account": "main", "weights": "BTC=40,ETH=30,EUR=30"})
        yield ports


LOSE_CONNECTION = (
    "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'connection lost' USING ERRCODE = '08006'; END $$"
)
WHILE_COMMITTING = (
    "CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON paper_order DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.symbol = 'BTC/EUR') EXECUTE FUNCTION lose()"
)


def test_an_order_of_unknown_fate_is_looked_up_until_its_absence_is_proof(ports: Ports, stored: Stored) -> None:
    stored.change(LOSE_CONNECTION)
    stored.change(WHILE_COMMITTING)
    record = rebalance(ports, "core")
    assert not record.success
    states = {order["market"]: order["state"] for order in record.orders if order["state"] != "SKIPPED"}
    assert states == {"BTC/EUR": "NOT_ACCEPTED", "ETH/EUR": "FILLED"}
    assert [error["code"] for error in record.errors or []] == ["ORDER_NOT_ACCEPTED"]
    assert stored.row("SELECT count(*) AS number FROM paper_order") == {"number": 1}
    assert stored.ledger_sums() == stored.venue_balances()

    stored.change("DROP TRIGGER lose ON paper_order")
    assert rebalance(ports, "core").orders_executed == 1
    assert stored.ledger_sums() == stored.venue_balances()


def leave_open_at_venue(ports: Ports, stored: Stored) -> None:
    """The venue keeps the order of BTC open without a fill, as no immediate order should be, and does not cancel it."""
    update_portfolio(ports, "core", {"weights": "BTC=70,EUR=30"})
    stored.change(
        "CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.status := 'open'; NEW.filled_quantity := 0; RETURN NEW; END $$"
    )
    stored.change(
        "CREATE TRIGGER rest BEFORE INSERT ON paper_order FOR EACH ROW "
        "WHEN (NEW.symbol = 'BTC/EUR') EXECUTE FUNCTION rest()"
    )
    stored.change("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    stored.change("CREATE TRIGGER nothing BEFORE INSERT ON paper_trade FOR EACH ROW EXECUTE FUNCTION nothing()")
    stored.change("CREATE TRIGGER nothing BEFORE UPDATE ON paper_balance FOR EACH ROW EXECUTE FUNCTION nothing()")
    stored.change("CREATE TRIGGER nothing BEFORE UPDATE ON paper_order FOR EACH ROW EXECUTE FUNCTION nothing()")


def test_an_order_that_stays_open_keeps_everything_new_from_being_sent(ports: Ports, stored: Stored) -> None:
    leave_open_at_venue(ports, stored)
    with pytest.raises(DeniedError, match=r"is CANCELING; the row in the history follows"):
        rebalance(ports, "core")
    assert stored.history("core") == []
    with pytest.raises(DeniedError, match=r"CIRCUIT_OPEN: order .* is CANCELING; nothing is traded until"):
        rebalance(ports, "core")
    assert [row["errors"][0]["code"] for row in stored.history("core")] == ["CIRCUIT_OPEN"]
    assert stored.held_leases() == []
    with pytest.raises(InvalidInputError, match=r"has order .* at its venue"):
        delete_portfolio(ports, "core")
    (problem,) = recover_abandoned_accounts(ports)
    assert problem.startswith("account main: CIRCUIT_OPEN")
    assert stored.row("SELECT count(*) AS number FROM paper_order") == {"number": 1}


def test_the_row_of_a_rebalance_tells_what_its_open_order_came_to(ports: Ports, stored: Stored) -> None:
    leave_open_at_venue(ports, stored)
    with pytest.raises(DeniedError, match="is CANCELING"):
        rebalance(ports, "core")
    for table in ("paper_trade", "paper_balance", "paper_order"):
        stored.change(f"DROP TRIGGER nothing ON {table}")  # type: ignore[arg-type]
    order = stored.row("SELECT * FROM paper_order")
    cost = order["quantity"] * order["limit_price"]
    stored.change(
        "INSERT INTO paper_trade (trade_id, order_id, quantity, price, fee, fee_currency, executed_at) "
        "VALUES ('late', %s, %s, %s, 1, 'EUR', now())",
        order["id"],
        order["quantity"],
        order["limit_price"],
    )
    stored.change("UPDATE paper_order SET status = 'closed', filled_quantity = quantity")
    stored.change("UPDATE paper_balance SET total = total - %s WHERE currency = 'EUR'", cost + 1)
    stored.change(
        "INSERT INTO paper_balance (account_id, currency, total) VALUES (%s, 'BTC', %s) "
        "ON CONFLICT (account_id, currency) DO UPDATE SET total = excluded.total",
        order["account_id"],
        order["quantity"],
    )
    assert recover_abandoned_accounts(ports) == []
    assert stored.ledger_sums() == stored.venue_balances()
    (row,) = stored.history("core")
    assert (row["success"], row["orders_executed"], row["orders_failed"]) == (False, 1, 0)
    assert row["total_value_traded"] == cost
    assert [o["state"] for o in row["orders"] if o["state"] != "SKIPPED"] == ["FILLED"]
