"""What a venue refuses, in Kraken's words."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.market import Market, MarketStatus
from rebalancer_pipelines.domain.values import EXACT, ZERO, is_multiple

UNKNOWN_PAIR = "EQuery:Unknown asset pair"
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
DUPLICATE_CLIENT_ID = "EGeneral:Invalid arguments:cl_ord_id"

_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{1,18}")
"""A UUID with dashes, 32 hex digits, or free text of at most 18 characters."""


def refusal(ticket: OrderTicket, market: Market | None, now: datetime) -> str | None:
    """Why the venue refuses the order whatever the account holds; None when it takes it."""
    if market is None:
        return UNKNOWN_PAIR
    if now > ticket.not_after:
        return "EService:Deadline elapsed"
    # A limit-only market takes limit orders, and every order here is one.
    if market.status not in {MarketStatus.ONLINE, MarketStatus.LIMIT_ONLY}:
        return f"EService:Market in {market.status.value} mode"
    return _malformed(ticket) or _off_grid(ticket, market) or _too_small(ticket, market)


def _malformed(ticket: OrderTicket) -> str | None:
    if not _CLIENT_ID.fullmatch(ticket.client_order_id):
        return "EGeneral:Invalid arguments:cl_ord_id"
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
