"""How large every order is: the search for sizes that still hold when their own costs are paid.

Every order is sized for the value that is left *after* the costs of all orders. That value is the fixed point of
`total = value before - cost(orders sized for total)`. There, a second plan sees the very value that the first one
sized its orders for: every currency that was traded in full stands within one unit of its target, every other is
judged as before, so planning again yields no order.

Whole units make the cost jump, so an exact fixed point need not exist: one unit more lowers the total to where it is
not wanted, one less raises it to where it is. Then orders are kept: from some round on, an order stays as it is while
a second plan would leave it alone. A kept order is judged anew only once the total has moved its target by its whole
minimum, and while trading costs less than a third of what is traded, the costs of such moves are too small to move
the total back as far. Where money is scarce, the last buys may still take turns as the cash reserve moves with the
total; so sizes also count as found once a second plan was tried on what they lead to, and added no order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import attrgetter
from typing import NamedTuple

from rebalancer_pipelines.domain.candidate import Candidate
from rebalancer_pipelines.domain.market import MarketStatus
from rebalancer_pipelines.domain.plan import SkipReason
from rebalancer_pipelines.domain.values import ZERO, Currency

_FREE_ROUNDS = 12
"""Rounds before orders are kept. Costs are a few percent at most, so a round gains about two digits of the total
and five are usual; the rest is for markets that cost more."""

_ROUNDS = 64
"""Bound on all rounds, met only where costs eat what is traded, or where `max_orders` swaps orders of equal drift."""


@dataclass(frozen=True, slots=True)
class Task:
    """What orders are sized from: `value` is the portfolio's value before, `free_cash` what may be spent of it.

    `cash_reserve` is the fraction of the value after that buys must leave; `max_orders` None sets no limit.
    """

    value: Decimal
    free_cash: Decimal
    cash_reserve: Decimal
    max_orders: int | None
    candidates: tuple[Candidate, ...]
    """Ordered by currency."""


@dataclass(slots=True)
class Sizes:
    """Signed units by currency (negative sells), why each other candidate has none, and what the orders cost."""

    units: dict[Currency, Decimal]
    reasons: dict[Currency, SkipReason]
    cost: Decimal


class _Wish(NamedTuple):
    drift: Decimal
    candidate: Candidate
    units: Decimal


_drift = attrgetter("drift")


def size_orders(task: Task) -> Sizes:
    """Find sizes that a second plan would leave alone. Expects to run in the exact decimal context.

    Where the rounds do not end, the last sizes count that leave the cash reserve.
    """
    total = task.value
    kept: Mapping[Currency, Decimal] = {}
    sizes = sound = Sizes({}, {}, ZERO)
    for finished_rounds in range(_ROUNDS):
        sizes = _size(task, total, kept)
        reached = task.value - sizes.cost
        if reached == total:
            return sizes
        is_free = finished_rounds < _FREE_ROUNDS
        if reached < total:
            # The reserve that these sizes leave, a fraction of `total`, is one of `reached` all the more.
            sound = sizes
            if not is_free and _is_final(task, reached, sizes):
                return sizes
        if not is_free:
            kept = sizes.units
        total = reached
    return sound


def _is_final(task: Task, total: Decimal, sizes: Sizes) -> bool:
    """Whether a second plan, made once the orders have filled, would add none."""
    free_cash = task.free_cash
    left: list[Candidate] = []
    for candidate in task.candidates:
        units = sizes.units.get(candidate.currency, ZERO)
        free_cash -= units * (candidate.unit_outlay if units > ZERO else candidate.unit_proceeds)
        value = candidate.value + units * candidate.unit_value
        left.append(replace(candidate, value=value, free_units=candidate.free_units + units))
    return not _size(replace(task, free_cash=free_cash, candidates=tuple(left)), total, {}).units


def _size(task: Task, total: Decimal, kept: Mapping[Currency, Decimal]) -> Sizes:
    """Size all orders for one assumed value after costs."""
    reasons: dict[Currency, SkipReason] = {}
    wishes: list[_Wish] = []
    for candidate in task.candidates:
        drift = candidate.share * total - candidate.value
        units = kept.get(candidate.currency)
        if units is None or not _is_settled(candidate, total, drift, units):
            units, reason = _units(candidate, total, drift, candidate.free_units)
            if reason is not None:
                reasons[candidate.currency] = reason
                continue
        wishes.append(_Wish(abs(drift), candidate, units))
    # Stable, so equal drifts stay in the order of their currencies.
    wishes.sort(key=_drift, reverse=True)
    return _choose(task, total, wishes, reasons)


def _is_settled(candidate: Candidate, total: Decimal, drift: Decimal, units: Decimal) -> bool:
    """Whether a second plan would leave the candidate alone once `units` have been traded."""
    left = drift - units * candidate.unit_value
    _, reason = _units(candidate, total, left, candidate.free_units + units)
    return reason is not None


def _units(
    candidate: Candidate, total: Decimal, drift: Decimal, free_units: Decimal
) -> tuple[Decimal, SkipReason | None]:
    """Whole units that close `drift` (negative: sell), or the reason for none."""
    if drift > ZERO and candidate.reserve_share:
        drift -= candidate.reserve_share * total
        if drift <= ZERO:
            return ZERO, SkipReason.CASH_RESERVE
    units = drift // candidate.unit_value
    if not units:
        return ZERO, SkipReason.ON_TARGET
    if candidate.market.status is not MarketStatus.ONLINE:
        return ZERO, SkipReason.MARKET_NOT_ONLINE
    if units > ZERO:
        return units, _too_small(candidate, units, candidate.venue_units_to_buy)
    if -units > free_units:
        reason = _too_small(candidate, free_units, candidate.venue_units_to_sell)
        return -free_units, SkipReason.LOCKED if reason else None
    return units, _too_small(candidate, -units, candidate.venue_units_to_sell)


def _too_small(candidate: Candidate, units: Decimal, venue_units: Decimal) -> SkipReason | None:
    if units < candidate.threshold_units:
        return SkipReason.BELOW_THRESHOLD
    return SkipReason.BELOW_VENUE_MINIMUM if units < venue_units else None


def _choose(task: Task, total: Decimal, wishes: list[_Wish], reasons: dict[Currency, SkipReason]) -> Sizes:
    """Grant wishes, largest drift first, within the order limit and as far as the money goes.

    A buy that cannot be paid gives its place to a sell that waits, whose proceeds may pay for the others; when none
    waits, to the next buy.
    """
    places = len(wishes) if task.max_orders is None else task.max_orders
    chosen, waiting = wishes[:places], wishes[places:]
    while True:
        sizes, unpaid = _pay(task, total, chosen)
        reasons.update((wish.candidate.currency, SkipReason.NO_CASH) for wish in unpaid)
        if not unpaid or not waiting:
            break
        sell = next((wish for wish in waiting if wish.units < ZERO), None)
        if sell is not None:
            chosen.remove(unpaid[-1])
            waiting.remove(sell)
            chosen.append(sell)
            waiting.insert(0, unpaid[-1])
        else:
            chosen = [wish for wish in chosen if wish.candidate.currency in sizes.units]
            room = places - len(chosen)
            chosen, waiting = chosen + waiting[:room], waiting[room:]
    reasons.update((wish.candidate.currency, SkipReason.ORDER_LIMIT) for wish in waiting)
    sizes.reasons = {currency: reason for currency, reason in reasons.items() if currency not in sizes.units}
    return sizes


def _pay(task: Task, total: Decimal, chosen: list[_Wish]) -> tuple[Sizes, list[_Wish]]:
    """Sell first, then buy while the money lasts; also return the buys that it does not last for."""
    granted: dict[Currency, Decimal] = {}
    unpaid: list[_Wish] = []
    money = task.free_cash - task.cash_reserve * total
    cost = ZERO
    for _, candidate, units in chosen:
        if units < ZERO:
            granted[candidate.currency] = units
            proceeds = -units * candidate.unit_proceeds
            money += proceeds
            cost += -units * candidate.unit_value - proceeds
    for wish in chosen:
        candidate, units = wish.candidate, wish.units
        if units < ZERO:
            continue
        outlay = units * candidate.unit_outlay
        if outlay > money:
            units = money // candidate.unit_outlay if money > ZERO else ZERO
            if _too_small(candidate, units, candidate.venue_units_to_buy):
                unpaid.append(wish)
                continue
            outlay = units * candidate.unit_outlay
        granted[candidate.currency] = units
        money -= outlay
        cost += outlay - units * candidate.unit_value
    return Sizes(granted, {}, cost), unpaid
