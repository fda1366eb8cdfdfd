"""Executing the plans of several portfolios on one account: sells, crossing, buys.

What the portfolios want of a market in opposite directions crosses inside the account at the mid, without spread or
fee. Only what is left of a market leaves for the venue, as one net order whose fills are shared out among those who
ride on it. The net sells come first; crossing follows, when everybody's cash is known; then the net buys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from rebalancer_pipelines.application.new_id import new_id
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.net_orders import book_parts
from rebalancer_pipelines.application.rebalance.order_run import OrderRun
from rebalancer_pipelines.application.rebalance.wallet import Wallet
from rebalancer_pipelines.domain.market import Market, PriceMark
from rebalancer_pipelines.domain.netting import Crossing, NettedMarket, net, within_cash
from rebalancer_pipelines.domain.order import Fill, LiquiditySide, Order, OrderSide, OrderState
from rebalancer_pipelines.domain.portfolio import Account
from rebalancer_pipelines.domain.rebalance import Lease
from rebalancer_pipelines.domain.values import EXACT, ZERO, Currency, exact_sum


class SharedPurse:
    """The wallets of the portfolios on an account. A net order is paid by those who ride on it, each its part."""

    def __init__(self, ports: Ports, wallets: Mapping[UUID, Wallet]) -> None:
        """`wallets` by rebalance."""
        self._ports = ports
        self._wallets = wallets
        self._riders: dict[UUID, Sequence[Order]] = {}

    def let_ride(self, net_order: Order, riders: Sequence[Order]) -> None:
        """Note who pays for a net order, and whom it pays."""
        self._riders[net_order.id] = riders

    def covers(self, order: Order) -> bool:
        """Whether an order can be paid; a net order's parts were cut to what each can pay when it was made."""
        return order.rebalance_id is None or self._of(order).covers(order)

    def fit(self, order: Order, market: Market) -> Order | None:
        """The order as it can be paid."""
        return order if order.rebalance_id is None else self._of(order).fit(order, market)

    def send(self, order: Order) -> None:
        """Keep back what an order may cost; the parts of a net order are kept back already."""
        if order.rebalance_id is not None:
            self._of(order).send(order)

    def settle(self, order: Order) -> None:
        """Book what an order has really moved, for a net order in the wallets of those who ride on it."""
        if order.rebalance_id is not None:
            self._of(order).settle(order)
            return
        with self._ports.transactions() as work:
            fills = work.orders.fills_of_riders(order.id)
        for rider in self._riders[order.id]:
            self._of(rider).settle(replace(rider, fills=fills.get(rider.id, ())))

    def of(self, rebalance_id: UUID) -> Wallet:
        """One portfolio's wallet."""
        return self._wallets[rebalance_id]

    def cash(self, currency: Currency) -> dict[UUID, Decimal]:
        """What each portfolio may spend, by rebalance."""
        return {rebalance_id: wallet.spendable(currency) for rebalance_id, wallet in self._wallets.items()}

    def _of(self, order: Order) -> Wallet:
        if order.rebalance_id is None:
            raise AssertionError("a net order has no wallet of its own")
        return self._wallets[order.rebalance_id]


@dataclass(frozen=True, slots=True)
class _NettedOrders:
    """What each market's orders come to. `alone` are sent as they are: nobody else wants their market."""

    markets: Mapping[str, NettedMarket]
    alone: Sequence[Order]


class NettedExecution:
    """The orders of one account's portfolios, from PLANNED to as far as they could be settled."""

    def __init__(
        self,
        ports: Ports,
        account: Account,
        lease: Lease,
        orders: Sequence[Order],
        *,
        marks: Mapping[str, PriceMark],
        markets: Mapping[str, Market],
        dry_run: bool,
    ) -> None:
        """`orders` of all plans, each plan's in its sequence."""
        self._ports = ports
        self._account = account
        self._lease = lease
        self._orders = {order.id: order for order in orders}
        self._marks = marks
        self._markets = markets
        self._dry_run = dry_run
        self._netted = _netted(orders, markets)

    def execute(self, run: OrderRun, purse: SharedPurse) -> None:
        """Trade; afterwards `run.ended` has what was sent, the store what it means to each order."""
        run.send([*self._alone(OrderSide.SELL), *self._net_orders(OrderSide.SELL, purse)])
        # What crosses leaves through no desk that would look.
        run.look_at_switches()
        if run.stopped_by() is None:
            self._cross(purse)
        run.send([*self._alone(OrderSide.BUY), *self._net_orders(OrderSide.BUY, purse)])

    def _alone(self, side: OrderSide) -> list[Order]:
        return [order for order in self._netted.alone if order.side is side]

    def _cross(self, purse: SharedPurse) -> None:
        """Let units and money change hands inside the account, all in one transaction."""
        now = self._ports.clock.now()
        wanted = [
            Crossing(self._orders[key], quantity, self._marks[symbol].mid)
            for symbol, market in self._netted.markets.items()
            for key, quantity in market.crossed.items()
        ]
        if not wanted:
            return
        increments = {symbol: self._markets[symbol].size_increment for symbol in self._netted.markets}
        parts: list[tuple[Order, Fill]] = []
        for currency, crossings in _by_quote(wanted).items():
            for crossing in within_cash(crossings, purse.cash(currency), increments):
                order = crossing.order
                fill = Fill(
                    trade_id=f"crossed:{order.client_order_id}",
                    quantity=crossing.quantity,
                    price=crossing.mid,
                    notional=crossing.notional,
                    fee=ZERO,
                    fee_currency=order.quote_currency,
                    liquidity_side=LiquiditySide.INTERNAL,
                    executed_at=now,
                )
                parts.append((order, fill))
        with self._ports.transactions() as work:
            work.accounts.renew_lease(self._lease, self._account.settings.lease)
            book_parts(work, self._account.id, parts)
            work.commit()
        for order, fill in parts:
            purse.settle(replace(order, fills=(fill,)))

    def _net_orders(self, side: OrderSide, purse: SharedPurse) -> list[Order]:
        """Make and store the net orders of one side, as many as the limit on an order's size asks for."""
        made = [
            (order, riders)
            for symbol, parts in sorted(self._parts(side, purse).items())
            for riders in self._within_order_limit(parts)
            if (order := self._net_order(symbol, riders)) is not None
        ]
        with self._ports.transactions() as work:
            work.accounts.fence(self._lease)
            for order, riders in made:
                work.orders.add_net(order, self._account.id, riders, dry_run=self._dry_run)
            work.commit()
        for order, riders in made:
            purse.let_ride(order, [self._orders[key] for key in riders])
        return [order for order, _ in made]

    def _parts(self, side: OrderSide, purse: SharedPurse) -> dict[str, dict[UUID, Decimal]]:
        """What each order has left for the venue; of buys what its portfolio can pay, the largest drifts first."""
        left = {
            key: quantity
            for market in self._netted.markets.values()
            if market.side is side
            for key, quantity in market.left.items()
        }
        parts: dict[str, dict[UUID, Decimal]] = defaultdict(dict)
        for key, order in self._orders.items():
            quantity = left.get(key, ZERO)
            if side is OrderSide.BUY and quantity and order.rebalance_id is not None:
                wallet = purse.of(order.rebalance_id)
                quantity = wallet.part_of(order, quantity, self._markets[order.symbol])
                wallet.keep_back(order, quantity)
            if quantity:
                parts[order.symbol][key] = quantity
        return parts

    def _within_order_limit(self, parts: Mapping[UUID, Decimal]) -> list[dict[UUID, Decimal]]:
        """Riders in groups that are each worth no more than one order may be; no rider is cut."""
        limit = self._account.settings.max_order_notional
        groups: list[dict[UUID, Decimal]] = [{}]
        worth = ZERO
        for key, quantity in parts.items():
            notional = EXACT.multiply(quantity, self._orders[key].price)
            if limit is not None and groups[-1] and EXACT.add(worth, notional) > limit:
                groups.append({})
                worth = ZERO
            groups[-1][key] = quantity
            worth = EXACT.add(worth, notional)
        return groups

    def _net_order(self, symbol: str, riders: Mapping[UUID, Decimal]) -> Order | None:
        """The order that carries its riders' parts; None when the venue would not take so little."""
        market = self._markets[symbol]
        quantity = exact_sum(riders.values())
        orders = [self._orders[key] for key in riders]
        if not market.takes(quantity, orders[0].price):
            return None
        # They rest on the same price, so these are equal; the strictest counts if they are not.
        strictest = min if orders[0].side is OrderSide.BUY else max
        order_id = new_id()
        return Order(
            id=order_id,
            rebalance_id=None,
            sequence=0,
            client_order_id=str(order_id),
            symbol=symbol,
            base_currency=orders[0].base_currency,
            quote_currency=orders[0].quote_currency,
            side=orders[0].side,
            quantity=quantity,
            price=orders[0].price,
            limit_price=strictest(order.limit_price for order in orders),
            state=OrderState.PLANNED,
        )


def _netted(orders: Iterable[Order], markets: Mapping[str, Market]) -> _NettedOrders:
    by_symbol: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        by_symbol[order.symbol].append(order)
    return _NettedOrders(
        markets={
            symbol: net(wanted, markets[symbol].size_increment)
            for symbol, wanted in by_symbol.items()
            if len(wanted) > 1
        },
        alone=[wanted[0] for wanted in by_symbol.values() if len(wanted) == 1],
    )


def _by_quote(crossings: Iterable[Crossing]) -> Mapping[Currency, list[Crossing]]:
    found: dict[Currency, list[Crossing]] = defaultdict(list)
    for crossing in crossings:
        found[crossing.order.quote_currency].append(crossing)
    return found
