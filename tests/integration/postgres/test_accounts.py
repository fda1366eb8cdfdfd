"""Stored accounts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from rebalancer_pipelines.domain.account_settings import AccountSettings, parse_settings
from rebalancer_pipelines.domain.errors import InvalidInputError, NotFoundError
from rebalancer_pipelines.domain.portfolio import CredentialSource, TradingState

from .stored import EUR, NOON, Transactions, a_lease, a_stored_portfolio, an_account, an_entry, wait_until_blocked


def test_an_account_comes_back_as_it_was_opened(transactions: Transactions) -> None:
    account = an_account(transactions)
    assert (account.name, account.venue, account.price_source) == ("main", "paper", "recorded")
    assert (account.trading_state, account.trading_state_reason) == (TradingState.ACTIVE, None)
    assert account.created_at == NOON
    assert (account.live_trading, account.endpoint, account.credentials) == (False, None, None)
    assert (account.reconciled_at, account.resumed_at) == (None, None)
    with transactions() as work:
        assert work.accounts.get("main") == work.accounts.by_id(account.id) == account


def test_accounts_are_listed_by_name(transactions: Transactions) -> None:
    z, a = an_account(transactions, "z"), an_account(transactions, "a")
    with transactions() as work:
        assert work.accounts.all() == [a, z]


def test_a_taken_name_is_refused_and_what_was_done_before_it_stays_possible(transactions: Transactions) -> None:
    an_account(transactions)
    with transactions() as work:
        work.accounts.add("before", "paper", "recorded", NOON)
        with pytest.raises(InvalidInputError, match="name: 'main' is taken by another account"):
            work.accounts.add("main", "paper", "recorded", NOON)
        work.commit()
    with transactions() as work:
        assert [account.name for account in work.accounts.all()] == ["before", "main"]


def test_an_unknown_name_is_answered_with_the_known_ones(transactions: Transactions) -> None:
    with transactions() as work, pytest.raises(NotFoundError, match="rebalancer account add"):
        work.accounts.get("missing")
    an_account(transactions, "b")
    an_account(transactions, "a")
    with transactions() as work, pytest.raises(NotFoundError, match="'missing' is unknown; there is a, b"):
        work.accounts.get("missing")


def test_what_was_deleted_meanwhile_is_named(transactions: Transactions) -> None:
    with transactions() as work:
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.by_id(uuid4())
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.set_trading_state(uuid4(), TradingState.HALTED, "stop", NOON)
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.set_live_trading(uuid4(), allowed=True)
        with pytest.raises(NotFoundError, match="deleted meanwhile"):
            work.accounts.settings_set(uuid4())


def test_trading_is_stopped_with_a_reason_and_allowed_again(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.accounts.set_trading_state(account.id, TradingState.HALTED, "the books differ", NOON)
        halted = work.accounts.by_id(account.id)
        assert (halted.trading_state, halted.trading_state_reason) == (TradingState.HALTED, "the books differ")
        assert work.accounts.by_id(other.id) == other
        work.accounts.set_trading_state(account.id, TradingState.ACTIVE, None, NOON)
        active = work.accounts.by_id(account.id)
    assert halted.resumed_at is None
    assert active == replace(account, resumed_at=NOON)


def test_only_allowing_trade_forgives(transactions: Transactions) -> None:
    account = an_account(transactions)
    later = NOON + timedelta(hours=1)
    with transactions() as work:
        work.accounts.set_trading_state(account.id, TradingState.ACTIVE, None, NOON)
        work.accounts.set_trading_state(account.id, TradingState.REDUCING, "careful", later)
        assert work.accounts.by_id(account.id).resumed_at == NOON
        work.accounts.set_trading_state(account.id, TradingState.ACTIVE, None, later)
        assert work.accounts.by_id(account.id).resumed_at == later


def test_an_account_at_a_real_venue_comes_back_with_all_that_it_was_given(transactions: Transactions) -> None:
    with transactions() as work:
        account = work.accounts.add(
            "main",
            "kraken",
            "live",
            NOON,
            settings={"max_turnover": "50%", "max_drawdown": "off"},
            endpoint="http://127.0.0.1:8080",
            credentials=CredentialSource(key_env="KRAKEN_KEY", secret_env="KRAKEN_SECRET"),
            key_fingerprint="F1",
        )
        work.commit()
    assert account.settings == replace(AccountSettings(), max_turnover=Decimal("0.5"), max_drawdown=None)
    assert account.endpoint == "http://127.0.0.1:8080"
    assert account.credentials == CredentialSource(key_env="KRAKEN_KEY", secret_env="KRAKEN_SECRET")
    with transactions() as work:
        assert work.accounts.get("main") == account
        assert work.accounts.settings_set(account.id) == {"max_turnover": "50%", "max_drawdown": "off"}


def test_a_sealed_key_comes_back_and_stands_nowhere_else(transactions: Transactions, engine: Engine) -> None:
    account = an_account(transactions, credentials=CredentialSource(sealed="gAAAA"))
    assert account.credentials == CredentialSource(sealed="gAAAA")
    assert "gAAAA" not in repr(account)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT credentials FROM account")).scalar_one() == {"sealed": "gAAAA"}


def test_play_money_has_its_own_defaults(transactions: Transactions) -> None:
    account = an_account(transactions, settings={"quote_age_seconds": "5"})
    assert account.settings == parse_settings({"quote_age_seconds": "5"}, is_paper=True)
    assert account.settings.max_turnover is None


def test_settings_are_replaced_as_a_whole(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.accounts.set_settings(account.id, {"max_turnover": "0.5"})
        assert work.accounts.by_id(account.id).settings.max_turnover == Decimal("0.5")
        work.accounts.set_settings(account.id, {"max_drawdown": "0.1"})
        assert work.accounts.settings_set(account.id) == {"max_drawdown": "0.1"}
        assert work.accounts.by_id(account.id).settings == parse_settings({"max_drawdown": "0.1"}, is_paper=True)
        assert work.accounts.settings_set(other.id) == {}


def test_one_key_serves_one_account(transactions: Transactions) -> None:
    an_account(transactions, "first", key_fingerprint="F1")
    an_account(transactions, "paper")
    refusal = r"^key_env: names the key of account first already; a key serves one account, so make a second one"
    with transactions() as work:
        work.accounts.add("before", "paper", "recorded", NOON)
        with pytest.raises(InvalidInputError, match=refusal):
            work.accounts.add("second", "kraken", "live", NOON, key_fingerprint="F1")
        with pytest.raises(InvalidInputError, match="name: 'first' is taken by another account"):
            work.accounts.add("first", "kraken", "live", NOON, key_fingerprint="F1")
        with pytest.raises(InvalidInputError, match="name: 'paper' is taken by another account"):
            work.accounts.add("paper", "kraken", "live", NOON)
        work.accounts.add("second", "kraken", "live", NOON, key_fingerprint="F2")
        work.commit()
    with transactions() as work:
        assert [account.name for account in work.accounts.all()] == ["before", "first", "paper", "second"]


def test_trading_real_money_is_allowed_and_forbidden(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.accounts.set_live_trading(account.id, allowed=True)
        assert work.accounts.by_id(account.id) == replace(account, live_trading=True)
        assert work.accounts.by_id(other.id) == other
        work.accounts.set_live_trading(account.id, allowed=False)
        assert work.accounts.by_id(account.id) == account


def test_until_when_the_books_are_complete_is_kept(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    with transactions() as work:
        work.accounts.mark_reconciled(account.id, NOON)
        assert work.accounts.by_id(account.id) == replace(account, reconciled_at=NOON)
        assert work.accounts.by_id(other.id) == other


def test_an_account_stays_while_portfolios_use_it(transactions: Transactions) -> None:
    account, other = an_account(transactions), an_account(transactions, "other")
    a_stored_portfolio(transactions, account, name="b")
    a_stored_portfolio(transactions, account, name="a")
    with transactions() as work:
        with pytest.raises(InvalidInputError, match="account: 'main' is used by a, b; delete them first"):
            work.accounts.delete(account.id)
        work.accounts.delete(other.id)
        work.commit()
    with transactions() as work:
        assert work.accounts.all() == [account]


def test_who_moves_money_between_books_takes_turns(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)

    def book_what_is_missing() -> None:
        with transactions() as work:
            work.accounts.lock(account.id)
            if work.ledger.books(account.id).is_untouched:
                work.ledger.append([an_entry(account.id, amount="5")])
            work.commit()

    with transactions() as work:
        work.accounts.lock(account.id)
        second = threads.submit(book_what_is_missing)
        wait_until_blocked(engine)
        work.ledger.append([an_entry(account.id, amount="5")])
        work.commit()
    second.result(20)
    with transactions() as work:
        assert work.ledger.books(account.id).total() == {EUR: Decimal(5)}


def test_a_fenced_transaction_can_lock_its_account_while_another_waits_for_it(
    transactions: Transactions, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    account = an_account(transactions)
    lease = a_lease(transactions, account.id)

    def lock() -> None:
        with transactions() as work:
            work.accounts.lock(account.id)
            work.commit()

    with transactions() as work:
        work.accounts.fence(lease)
        other = threads.submit(lock)
        wait_until_blocked(engine)
        work.accounts.lock(account.id)
        assert not other.done()
        work.commit()
    other.result(20)


def test_a_locked_account_stops_nobody_who_only_refers_to_it(transactions: Transactions) -> None:
    account = an_account(transactions)
    with transactions() as work:
        work.accounts.lock(account.id)
        with transactions() as other:
            other.ledger.append([an_entry(account.id)])
            other.commit()
