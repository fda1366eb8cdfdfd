"""What the paper venue refuses, in Kraken's words."""

from __future__ import annotations

from datetime import datetime

from rebalancer_pipelines.application.ports import OrderTicket
from rebalancer_pipelines.domain.market import Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.values import EXACT, ZERO, is_multiple


def refusal(ticket: OrderTicket, market: Market | None, mark: PriceMark | None, now: datetime) -> str | None:
    """The venue's reason against an order, or None when the rules of its market are kept."""
    if not (ticket.quantity.is_finite() and ticket.limit_price.is_finite()):
        return "EGeneral:Invalid arguments:volume"
    if market is None:
        return "EQuery:Unknown asset pair"
    refusals = (
        (now > ticket.not_after, "EService:Deadline elapsed"),
        (market.status is not MarketStatus.ONLINE, f"EService:Market in {market.status.value} mode"),
        (mark is None, "EService:Market in cancel_only mode: it has no price at this moment"),
        (ticket.quantity <= ZERO, "EGeneral:Invalid arguments:volume"),
        (ticket.limit_price <= ZERO, "EGeneral:Invalid arguments:price"),
        (not is_multiple(ticket.quantity, market.size_increment), "EGeneral:Invalid arguments:volume"),
        (not is_multiple(ticket.limit_price, market.price_increment), "EOrder:Tick size check failed"),
        (ticket.quantity < market.min_amount, "EOrder:Order minimum not met"),
        (
            EXACT.multiply(ticket.quantity, ticket.limit_price) < market.min_notional,
            "EOrder:Cost minimum not met",
        ),
    )
    return next((reason for refused, reason in refusals if refused), None)
