"""Accounts as JSON: what `account …` and `status` print."""

from __future__ import annotations

from typing import Any

from rebalancer_pipelines.application.accounts import AccountOverview
from rebalancer_pipelines.application.documents import moment
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.reconcile import check_unallocated
from rebalancer_pipelines.application.review import Review
from rebalancer_pipelines.domain.account_settings import SETTINGS, AccountSettings
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.portfolio import Account, CredentialSource
from rebalancer_pipelines.domain.values import plain

Document = dict[str, Any]


def account_document(account: Account) -> Document:
    """What is stored of an account, its settings aside."""
    return {
        "id": str(account.id),
        "name": account.name,
        "venue": account.venue,
        "prices": account.price_source,
        "live_trading": account.live_trading,
        "trading_state": account.trading_state.value,
        "trading_state_reason": account.trading_state_reason,
        "endpoint": account.endpoint,
        "created_at": moment(account.created_at),
    }


def settings_document(settings: AccountSettings) -> Document:
    """Every setting under its public name, as it is written."""
    return {name: setting.write(settings) for name, setting in SETTINGS.items()}


def overview_document(overview: AccountOverview) -> Document:
    """An account with its balances, books and settings."""
    account = overview.account
    return {
        **account_document(account),
        "kill_reason": overview.kill_reason,
        "credentials": _credentials_document(account.credentials),
        "settings": settings_document(account.settings),
        "settings_set": sorted(overview.settings_set),
        "balances": [
            {"currency": c, "total": plain(h.total), "free": plain(h.free), "locked": plain(h.locked)}
            for c, h in sorted(overview.balances.items())
        ],
        "books": [
            {"portfolio": portfolio, "currency": currency, "amount": plain(amount)}
            for portfolio, book in (
                *((p.name, overview.books.of(p.id)) for p in overview.portfolios),
                (None, overview.books.unallocated),
            )
            for currency, amount in sorted(book.items())
        ],
        "without_portfolio": currencies_without_portfolio(overview),
        "is_being_settled": overview.is_being_settled,
        "differences": {currency: plain(amount) for currency, amount in overview.differences.items()},
    }


def currencies_without_portfolio(overview: AccountOverview) -> list[str]:
    """Currencies that the venue holds and no portfolio of the account names: nothing ever trades them."""
    named = {c for p in overview.portfolios for c in (*p.weights.currencies, p.valuation_currency)}
    return sorted(c for c, holding in overview.balances.items() if holding.total and c not in named)


def read_shortage(ports: Ports, account: Account) -> DeniedError | None:
    """What every run on the account would be refused for: money is gone, and nobody has said whose it was."""
    with ports.transactions() as work:
        books, owners = work.ledger.books(account.id), work.portfolios.count_on_account(account.id)
    try:
        check_unallocated(account, books, owners)
    except DeniedError as denial:
        return denial
    return None


def review_document(review: Review, account: Account, shortage: DeniedError | None) -> Document:
    """What still keeps an account from trading. `account` is read after the review, which may have changed it."""
    return {
        "account": account.name,
        "clear": review.is_clear and shortage is None,
        "trading_state": account.trading_state.value,
        "trading_state_reason": account.trading_state_reason,
        "orders": [
            {
                "client_order_id": order.client_order_id,
                "venue_order_id": order.venue_order_id,
                "state": order.state.value,
                "side": order.side.value,
                "market": order.symbol,
                "quantity": plain(order.quantity),
                "filled_quantity": plain(order.filled_quantity),
                "limit_price": plain(order.limit_price),
                "sent_until": moment(order.not_after),
                "reason": order.reason,
                "may_be_judged": order.state is OrderState.NEEDS_REVIEW,
            }
            for order in review.orders
        ],
        "shortage": shortage.message if shortage else None,
        "differences": {currency: plain(amount) for currency, amount in review.differences.items()},
        "movements": [
            {
                "entry_id": movement.entry_id,
                "kind": movement.kind.value,
                "words": movement.words,
                "currency": movement.currency,
                "amount": plain(movement.amount),
                "fee": plain(movement.fee),
                "occurred_at": moment(movement.occurred_at),
                "trade_id": movement.trade_id,
            }
            for movement in review.movements
        ],
    }


def _credentials_document(credentials: CredentialSource | None) -> Document | None:
    """Where the key comes from; never the key, nor its encrypted text."""
    if credentials is None:
        return None
    return {
        "key_env": credentials.key_env,
        "secret_env": credentials.secret_env,
        "stored": credentials.sealed is not None,
    }
