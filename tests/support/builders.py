"""Builders of domain objects, and Hypothesis strategies for everything that a planner may be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from rebalancer_pipelines.application.ports import OrderReference, OrderTicket
from rebalancer_pipelines.domain.calendar import RebalanceInterval
from rebalancer_pipelines.domain.drift import DriftBand, DriftBandKind
from rebalancer_pipelines.domain.market import FeeSchedule, Market, MarketStatus, PriceMark
from rebalancer_pipelines.domain.order import OrderSide
from rebalancer_pipelines.domain.plan import RebalancePlan
from rebalancer_pipelines.domain.planner import propose
from rebalancer_pipelines.domain.portfolio import Holding, Portfolio, RebalancePolicy
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.domain.weights import TargetWeights

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EUR = Currency("EUR")
BTC = Currency("BTC")
ETH = Currency("ETH")
_WIDE = Context(prec=200)
"""Precision at which tests reckon: wider than the domain's own, so that a rounding there cannot hide."""


def exactly(number: Decimal | int | str) -> Decimal:
    """A Decimal from whatever is handy to write in a test."""
    return Decimal(number)


def a_policy(
    *,
    threshold: Decimal | int | str = 10,
    band: DriftBand | None = None,
    max_orders: int | None = None,
    cash_reserve: Decimal | int | str = 0,
) -> RebalancePolicy:
    """A policy without a cash reserve, so that examples come out round."""
    return RebalancePolicy(
        threshold=exactly(threshold), band=band, max_orders=max_orders, cash_reserve=exactly(cash_reserve)
    )


def a_portfolio(
    weights: str | TargetWeights = "BTC=50,EUR=50",
    *,
    policy: RebalancePolicy | None = None,
    valuation_currency: str = "EUR",
) -> Portfolio:
    """A portfolio with the given weights; everything that does not matter to a plan is fixed."""
    return Portfolio(
        id=UUID(int=1),
        name="long-term",
        description="",
        account_id=UUID(int=2),
        valuation_currency=Currency(valuation_currency),
        weights=weights if isinstance(weights, TargetWeights) else TargetWeights.parse(weights),
        policy=policy or a_policy(),
        interval=RebalanceInterval.WEEKLY,
        time_zone=ZoneInfo("UTC"),
        enabled=True,
        anchor_at=NOON,
        last_rebalanced_at=None,
        next_rebalance_at=None,
        created_at=NOON,
        updated_at=NOON,
    )


def a_market(
    symbol: str = "BTC/EUR",
    *,
    price_increment: Decimal | int | str = "0.1",
    size_increment: Decimal | int | str = "0.0001",
    min_amount: Decimal | int | str = "0.0001",
    min_notional: Decimal | int | str = "0.5",
    status: MarketStatus = MarketStatus.ONLINE,
) -> Market:
    """A market that is open and has fine increments and low minimums."""
    base, quote = symbol.split("/")
    return Market(
        symbol=symbol,
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        price_increment=exactly(price_increment),
        size_increment=exactly(size_increment),
        min_amount=exactly(min_amount),
        min_notional=exactly(min_notional),
        status=status,
    )


def a_price(
    symbol: str = "BTC/EUR",
    bid: Decimal | int | str = 100,
    ask: Decimal | int | str | None = None,
    *,
    observed_at: datetime = NOON,
) -> PriceMark:
    """A quote; without an `ask` it has no spread."""
    return PriceMark(symbol, exactly(bid), exactly(bid if ask is None else ask), "test", observed_at)


def a_holding(total: Decimal | int | str, free: Decimal | int | str | None = None) -> Holding:
    """Units of a currency, all of them free unless told otherwise."""
    return Holding(exactly(total), exactly(total if free is None else free))


def a_reference(ticket: OrderTicket, venue_order_id: str | None = None) -> OrderReference:
    """What is known of an order that was sent with this ticket, a minute before its deadline at the earliest."""
    return OrderReference(
        client_order_id=ticket.client_order_id,
        symbol=ticket.symbol,
        side=ticket.side,
        quantity=ticket.quantity,
        venue_order_id=venue_order_id,
        sent_after=ticket.not_after - timedelta(minutes=1),
    )


def cleared() -> None:
    """A clearance that lets every order leave."""


def no_fees() -> FeeSchedule:
    """A venue that charges nothing."""
    return FeeSchedule(Decimal(0), Decimal(0))


@dataclass(frozen=True)
class Situation:
    """All that a plan is made from."""

    portfolio: Portfolio
    holdings: Mapping[Currency, Holding]
    prices: Mapping[str, PriceMark]
    markets: Mapping[str, Market]
    fees: FeeSchedule

    def plan(self) -> RebalancePlan:
        """Propose a rebalance."""
        return propose(self.portfolio, self.holdings, self.prices, self.markets, self.fees)

    def mid(self, currency: Currency) -> Decimal:
        """Value of one unit in valuation currency."""
        if currency == self.portfolio.valuation_currency:
            return Decimal(1)
        return self.prices[f"{currency}/{self.portfolio.valuation_currency}"].mid

    def values(self) -> dict[Currency, Decimal]:
        """What every managed currency is worth, in valuation currency."""
        managed = {*self.portfolio.weights.currencies, self.portfolio.valuation_currency}
        return {
            c: _WIDE.multiply(self.holdings[c].total, self.mid(c)) if c in self.holdings else Decimal(0)
            for c in managed
        }

    def value(self) -> Decimal:
        """What the portfolio's weights divide."""
        return wide_sum(*self.values().values())

    def after(self, plan: RebalancePlan) -> Situation:
        """The same situation once every order has filled whole, at its price and with its fee."""
        holdings = dict(self.holdings)

        def move(currency: Currency, units: Decimal) -> None:
            held = holdings.get(currency, Holding(Decimal(0), Decimal(0)))
            holdings[currency] = Holding(_WIDE.add(held.total, units), _WIDE.add(held.free, units))

        for order in plan.orders:
            notional = _WIDE.multiply(order.quantity, order.price)
            sign = 1 if order.side is OrderSide.BUY else -1
            move(order.base_currency, order.quantity * sign if sign == 1 else _WIDE.minus(order.quantity))
            move(order.quote_currency, _WIDE.minus(notional) if sign == 1 else notional)
            move(order.quote_currency, _WIDE.minus(order.fee))
        return replace(self, holdings=holdings)


def wide_sum(*numbers: Decimal) -> Decimal:
    """A sum that is not rounded."""
    total = Decimal(0)
    for number in numbers:
        total = _WIDE.add(total, number)
    return total


def wide_product(*numbers: Decimal) -> Decimal:
    """A product that is not rounded."""
    product = Decimal(1)
    for number in numbers:
        product = _WIDE.multiply(product, number)
    return product


_CODES = [Currency(f"C{number:02d}") for number in range(24)]


def _weights(codes: list[Currency], parts: list[int], open_shares: int) -> TargetWeights:
    """Weights in proportion to `parts`; the last `open_shares` of them are left open."""
    whole = sum(parts)
    if not whole:
        parts, whole = [1, *parts[1:]], 1
    cents = [part * 10_000 // whole for part in parts]
    largest = cents.index(max(cents))
    cents[largest] += 10_000 - sum(cents)
    given: dict[Currency, Decimal | None] = {c: Decimal(w).scaleb(-2) for c, w in zip(codes, cents, strict=True)}
    for code, cent in list(zip(codes, cents, strict=True))[-open_shares:] if open_shares else []:
        if cent:
            given[code] = None
    return TargetWeights.of(given)


def _power(exponent: int) -> Decimal:
    return Decimal(1).scaleb(exponent)


_STATUSES = [MarketStatus.ONLINE] * 12 + [MarketStatus.CANCEL_ONLY, MarketStatus.REDUCE_ONLY, MarketStatus.DELISTED]
_FREE = [Decimal(1)] * 4 + [Decimal(0), Decimal("0.5"), Decimal("0.003")]
_MINIMUM_UNITS = [0, 1, 1, 10, 1000]
_MINIMUM_NOTIONALS = [Decimal(0), Decimal("0.5"), Decimal(5), Decimal(60)]

_listings = st.tuples(
    st.integers(1, 9999),  # digits of the price
    st.integers(-8, 4),  # its power of ten
    st.one_of(st.just(0), st.integers(0, 200)),  # spread in hundredths of a percent
    st.integers(2, 7),  # significant digits of the price grid
    st.integers(-9, 2),  # power of ten of what one size increment is worth
    st.sampled_from([Decimal(1), Decimal("2.5"), Decimal(5)]),
    st.sampled_from(_MINIMUM_UNITS),
    st.sampled_from(_MINIMUM_NOTIONALS),
    st.sampled_from(_STATUSES),
)
_owned = st.tuples(
    st.one_of(st.just(0), st.integers(0, 100_000)),  # value in parts of the portfolio's scale
    st.sampled_from(_FREE),
    st.booleans(),  # whether the units stand on the size grid
)
_bands = st.one_of(
    st.none(),
    st.none(),
    st.builds(DriftBand, st.integers(1, 3000).map(lambda n: Decimal(n).scaleb(-2)), st.sampled_from(DriftBandKind)),
)
_thresholds = st.one_of(
    st.just(Decimal(10)),
    st.integers(1, 100).map(lambda n: Decimal(n).scaleb(-2)),
    st.integers(1, 500).map(Decimal),
)
_reserves = st.one_of(st.just(Decimal(0)), st.integers(0, 4000).map(lambda n: Decimal(n).scaleb(-4)))


@st.composite
def policies(draw: st.DrawFn, *, bands: bool = True, order_limits: bool = True) -> RebalancePolicy:
    """Policies from eager to reluctant."""
    return RebalancePolicy(
        threshold=draw(_thresholds),
        band=draw(_bands) if bands else None,
        max_orders=draw(st.one_of(st.none(), st.integers(1, 6))) if order_limits else None,
        cash_reserve=draw(_reserves),
    )


@st.composite
def situations(draw: st.DrawFn, *, largest: int = 20, bands: bool = True, order_limits: bool = True) -> Situation:
    """Portfolios of 1 to `largest` currencies, from a few cents to hundreds of millions, in markets of every kind.

    Spreads go to 2 %, fees to 1 %, price grids to two significant digits, one size increment from 10⁻⁹ to 999 in
    valuation currency; units and cash may be locked, markets closed, weights zero or open, cash named or not.
    """
    scale = _power(draw(st.integers(-3, 4)))
    count = draw(st.integers(1, largest))
    parts = draw(st.lists(st.one_of(st.just(0), st.integers(1, 1000)), min_size=count, max_size=count))
    names_cash = draw(st.booleans())
    codes = [*_CODES[: len(parts) - 1], EUR] if names_cash else _CODES[: len(parts)]
    weights = _weights(codes, parts, open_shares=draw(st.integers(0, 2)))
    holdings: dict[Currency, Holding] = {}
    prices: dict[str, PriceMark] = {}
    markets: dict[str, Market] = {}
    for code in codes:
        if code == EUR:
            continue
        symbol = f"{code}/EUR"
        digits, power, spread, grid, unit_power, unit_step, min_units, min_notional, status = draw(_listings)
        mid = Decimal(digits).scaleb(power)
        half_spread = mid * Decimal(spread).scaleb(-4) / 2
        increment = unit_step * _power(max(unit_power - mid.adjusted(), -16))
        prices[symbol] = a_price(symbol, mid - half_spread, mid + half_spread)
        markets[symbol] = a_market(
            symbol,
            price_increment=_power(mid.adjusted() - grid + 1),
            size_increment=increment,
            min_amount=increment * min_units,
            min_notional=min_notional,
            status=status,
        )
        share, free, is_on_grid = draw(_owned)
        if share:
            total = (share * scale / mid).quantize(_power(max(-mid.adjusted() - 9, -17)), rounding=ROUND_DOWN)
            if is_on_grid:
                total -= total % increment
            holdings[code] = Holding(total, total * free)
    cash, free_cash, _ = draw(_owned)
    if cash:
        holdings[EUR] = Holding(cash * scale, cash * scale * free_cash)
    for code in draw(st.sampled_from([[], [], _CODES[22:], _CODES[23:]])):
        holdings[code] = a_holding(draw(st.integers(0, 3)))
    fee = draw(st.one_of(st.just(0), st.integers(0, 100)))
    return Situation(
        portfolio=a_portfolio(weights, policy=draw(policies(bands=bands, order_limits=order_limits))),
        holdings=holdings,
        prices=prices,
        markets=markets,
        fees=FeeSchedule(maker=Decimal(0), taker=Decimal(fee).scaleb(-4)),
    )
