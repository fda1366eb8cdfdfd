"""What is refused without asking anybody, in Kraken's words: by the paper venue, and by us before an order leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.market import FeeSchedule, Market, MarketStatus
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.portfolio import Holding
from rebalancer_pipelines.domain.values import EXACT, ONE, ZERO, Currency, is_multiple

UNKNOWN_PAIR = "EQuery:Unknown asset pair"
NO_PRICE = "EService:Market in cancel_only mode: it has no price at this moment"
UNUSABLE_CLIENT_ID = "EGeneral:Invalid arguments:cl_ord_id"
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"

_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}")
"""A UUID with dashes, 32 hex digits, or free text of at most 18 characters."""


def refusal(ticket: OrderTicket, market: Market, now: datetime) -> str | None:
    """The venue's reason against an order whatever the account holds; None when the market's rules are kept."""
    if now > ticket.not_after:
        return "EService:Deadline elapsed"
    if market.status is not MarketStatus.ONLINE:
        return f"EService:Market in {market.status.value} mode"
    return _malformed(ticket) or _off_grid(ticket, market) or _too_small(ticket, market)


def is_covered(ticket: OrderTicket, market: Market, fees: FeeSchedule, balances: Mapping[Currency, Holding]) -> bool:
    """Whether the account can pay for the order at its limit price, fee included: what an exchange reserves."""
    if ticket.side is OrderSide.SELL:
        currency, needed = market.base_currency, ticket.quantity
    else:
        worst = EXACT.multiply(ticket.quantity, ticket.limit_price)
        currency, needed = market.quote_currency, EXACT.multiply(worst, EXACT.add(ONE, fees.taker))
    return currency in balances and needed <= balances[currency].free


def _malformed(ticket: OrderTicket) -> str | None:
    if not _CLIENT_ID.fullmatch(ticket.client_order_id):
        return UNUSABLE_CLIENT_ID
    if not _is_positive(ticket.quantity):
        return "EGeneral:Invalid arguments:volume"
    if not _is_positive(ticket.limit_price):
        return "EGeneral:Invalid arguments:price"
    return None


def _off_grid(ticket: OrderTicket, market: Market) -> str | None:
    if not is_multiple(ticket.quantity, market.size_increment):
        return "EGeneral:Invalid arguments:volume"
    if not is_multiple(ticket.limit_price, market.price_increment):
        return "EOrder:Tick size check failed"
    return None


def _too_small(ticket: OrderTicket, market: Market) -> str | None:
    if ticket.quantity < market.min_amount:
        return "EOrder:Order minimum not met"
    if EXACT.multiply(ticket.quantity, ticket.limit_price) < market.min_notional:
        return "EOrder:Cost minimum not met"
    return None


def _is_positive(number: Decimal) -> bool:
    return number.is_finite() and number > ZERO
