"""The ledger: sums are exact, entries stay."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from rebalancer_pipelines.domain.ledger import LedgerEntryKind
from rebalancer_pipelines.domain.values import Currency, exact_sum

from .stored import (
    BTC,
    EUR,
    NOON,
    Transactions,
    a_fill,
    a_rebalance,
    a_stored_order,
    a_stored_portfolio,
    an_account,
    an_entry,
)

_APPEND_ONLY = "the ledger is append-only"


def test_an_account_without_entries_has_untouched_books(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as work:
        books = work.ledger.books(account.id)
    assert books.is_untouched
    assert books.total() == {}


def test_books_add_up_by_portfolio_and_currency(transactions: Transactions) -> None:
    account = an_account(transactions)
    first = a_stored_portfolio(transactions, account, name="first")
    second = a_stored_portfolio(transactions, account, name="second")
    other = an_account(transactions, "other")
    with transactions() as work:
        work.ledger.append(
            [
                an_entry(account.id, None, "10"),
                an_entry(account.id, first.id, "1.5"),
                an_entry(account.id, first.id, "2.5"),
                an_entry(account.id, first.id, "3", currency=BTC),
                an_entry(account.id, second.id, "-4"),
                an_entry(other.id, None, "1000"),
            ]
        )
        work.commit()
    with transactions() as work:
        books = work.ledger.books(account.id)
    assert books.unallocated == {EUR: Decimal(10)}
    assert books.by_portfolio == {first.id: {EUR: Decimal(4), BTC: Decimal(3)}, second.id: {EUR: Decimal(-4)}}
    assert not books.is_untouched


def test_sums_are_exact_to_the_last_digit(transactions: Transactions) -> None:
    account = an_account(transactions)
    amounts = [f"{sign}{whole}.{digit:018d}" for sign in ("", "-") for whole in (0, 7, 10**20 - 1) for digit in (1, 33)]
    amounts += ["0.1"] * 1000 + ["0.000000000000000000000000000000000001", "-99999999999999999999.000000000000000003"]
    with transactions() as work:
        work.ledger.append([an_entry(account.id, None, amount) for amount in amounts])
        work.commit()
    with transactions() as work:
        assert work.ledger.books(account.id).unallocated == {EUR: exact_sum(Decimal(amount) for amount in amounts)}


def test_a_currency_that_sums_to_zero_is_left_out_and_the_books_are_touched(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.ledger.append([an_entry(account.id, None, "0.10"), an_entry(account.id, None, "-0.1")])
        work.commit()
    with transactions() as work:
        books = work.ledger.books(account.id)
    assert books.unallocated == {}
    assert not books.is_untouched


def test_no_entries_are_no_trouble(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.ledger.append([])
        assert work.ledger.books(account.id).is_untouched


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "TRUNCATE account CASCADE",
        "UPDATE ledger_entry SET amount = amount + 1",
        "UPDATE ledger_entry SET cause = 'rewritten'",
        "UPDATE ledger_entry SET portfolio_id = NULL",
        "UPDATE ledger_entry SET account_id = account_id",
        "MERGE INTO ledger_entry AS stored USING ledger_entry AS seen ON stored.id = seen.id WHEN MATCHED THEN DELETE",
    ],
)
def test_entries_are_neither_changed_nor_removed(transactions: Transactions, engine: Engine, statement: str) -> None:
    portfolio = a_stored_portfolio(transactions)
    with transactions() as work:
        work.ledger.append([an_entry(portfolio.account_id, portfolio.id)])
        work.commit()
    with engine.connect() as connection, pytest.raises(IntegrityError, match=_APPEND_ONLY):
        connection.execute(text(statement))
    with transactions() as work:
        assert work.ledger.books(portfolio.account_id).by_portfolio == {portfolio.id: {EUR: Decimal(1)}}


def test_a_trigger_of_somebody_else_cannot_rewrite_an_entry_either(transactions: Transactions, engine: Engine) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.ledger.append([an_entry(account.id)])
        work.commit()
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN UPDATE ledger_entry SET amount = 2; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER rewrite AFTER UPDATE ON account FOR EACH ROW EXECUTE FUNCTION rewrite()")
        )
        with pytest.raises(IntegrityError, match=_APPEND_ONLY):
            connection.execute(text("UPDATE account SET venue = 'elsewhere'"))


def test_a_deleted_portfolio_leaves_its_money_unallocated(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    order = a_stored_order(transactions, a_rebalance(transactions, portfolio))
    with transactions() as work:
        fill_ids = work.orders.add_fills(order, portfolio.account_id, [a_fill()])
        work.ledger.append(
            [
                an_entry(portfolio.account_id, portfolio.id, "5"),
                an_entry(portfolio.account_id, portfolio.id, "0.1", kind=LedgerEntryKind.FILL, fill_id=fill_ids["T1"]),
                an_entry(portfolio.account_id, None, "2"),
            ]
        )
        work.commit()
    with transactions() as work:
        work.portfolios.delete(portfolio.id)
        work.commit()
    with transactions() as work:
        books = work.ledger.books(portfolio.account_id)
    assert books.unallocated == {EUR: Decimal("7.1")}
    assert books.by_portfolio == {}


def test_one_fill_is_booked_once_per_kind_and_currency(transactions: Transactions) -> None:
    portfolio = a_stored_portfolio(transactions)
    order = a_stored_order(transactions, a_rebalance(transactions, portfolio))
    with transactions() as work:
        fill_id = work.orders.add_fills(order, portfolio.account_id, [a_fill()])["T1"]
        entry = an_entry(portfolio.account_id, portfolio.id, kind=LedgerEntryKind.FILL, fill_id=fill_id)
        fee = an_entry(portfolio.account_id, portfolio.id, "-1", kind=LedgerEntryKind.FEE, fill_id=fill_id)
        base = an_entry(
            portfolio.account_id, portfolio.id, kind=LedgerEntryKind.FILL, fill_id=fill_id, currency=Currency("BTC")
        )
        work.ledger.append([entry, fee, base])
        work.commit()
    with transactions() as work, pytest.raises(IntegrityError, match="uq_ledger_entry_fill"):
        work.ledger.append([entry])


def test_an_account_goes_with_its_ledger(transactions: Transactions, engine: Engine) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.ledger.append([an_entry(account.id), an_entry(other.id)])
        work.commit()
    with transactions() as work:
        work.accounts.delete(account.id)
        work.commit()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT account_id FROM ledger_entry")).scalars().all() == [other.id]


def test_lines_of_the_venues_ledger_are_known_once_they_are_booked(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.ledger.append(
            [
                an_entry(account.id, venue_entry_id="L1"),
                an_entry(account.id, None, "-0.1", kind=LedgerEntryKind.FEE, venue_entry_id="L1"),
                an_entry(account.id, venue_entry_id="L2"),
                an_entry(account.id),
                an_entry(other.id, venue_entry_id="L3"),
            ]
        )
        work.commit()
    with transactions() as work:
        assert set(work.ledger.booked_entry_ids(account.id, ["L1", "L3", "L4"])) == {"L1"}
        assert set(work.ledger.booked_entry_ids(account.id, [])) == set()
        assert set(work.ledger.booked_entry_ids(other.id, ["L1", "L3"])) == {"L3"}
    with transactions() as work, pytest.raises(IntegrityError, match="uq_ledger_entry_venue_entry"):
        work.ledger.append([an_entry(account.id, venue_entry_id="L2")])


def test_flows_are_what_moved_by_other_than_own_trading(transactions: Transactions) -> None:
    account = an_account(transactions)
    portfolio = a_stored_portfolio(transactions, account)
    other = a_stored_portfolio(transactions, account, name="other")
    later = {"occurred_at": NOON + timedelta(microseconds=1)}
    amounts = {
        LedgerEntryKind.DEPOSIT: "1",
        LedgerEntryKind.WITHDRAWAL: "-0.2",
        LedgerEntryKind.FILL: "100",
        LedgerEntryKind.FEE: "-1000",
        LedgerEntryKind.OUTSIDE_TRADE: "0.03",
        LedgerEntryKind.REWARD: "0.004",
        LedgerEntryKind.TRANSFER: "0.0005",
        LedgerEntryKind.ADJUSTMENT: "0.00006",
    }
    assert set(amounts) == set(LedgerEntryKind)
    with transactions() as work:
        work.ledger.append(
            [an_entry(account.id, portfolio.id, amount, kind=kind, **later) for kind, amount in amounts.items()]
        )
        work.ledger.append(
            [
                an_entry(account.id, portfolio.id, "7", currency=BTC, **later),
                an_entry(account.id, portfolio.id, "5", currency=Currency("ETH"), **later),
                an_entry(account.id, portfolio.id, "-5", currency=Currency("ETH"), **later),
                an_entry(account.id, portfolio.id, "10000"),
                an_entry(account.id, other.id, "20000", **later),
                an_entry(account.id, None, "30000", **later),
            ]
        )
        work.commit()
    with transactions() as work:
        assert work.ledger.flows(portfolio.id, NOON) == {EUR: Decimal("0.83456"), BTC: 7}
        assert work.ledger.flows(portfolio.id, NOON + timedelta(seconds=1)) == {}
