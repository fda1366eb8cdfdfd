"""Reading the prices that a rebalance rests on, and refusing those that are not fit to trade on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.market import PriceLimits, PriceMark, check_price
from rebalancer_pipelines.domain.risk import price_jumps
from rebalancer_pipelines.domain.valuation import required_symbols


@dataclass(frozen=True, slots=True)
class ObservedPrices:
    """Prices as they were read. `denial` says which of them may not be traded on; then the rebalance is closed."""

    marks: Mapping[str, PriceMark]
    denial: DeniedError | None


def observe_prices(ports: Ports, stage: Stage) -> ObservedPrices:
    """Read and keep a price for every market of the portfolio's weights."""
    portfolio = stage.portfolio
    symbols = required_symbols(portfolio.weights, portfolio.valuation_currency)
    with recording_failure(ports, stage):
        marks = ports.venues.connect(stage.account).prices(symbols)

    def keep_sound_prices() -> None:
        limits = PriceLimits(max_age=stage.account.settings.quote_age)
        for symbol in symbols:
            check_price(marks.get(symbol), symbol, now=ports.clock.now(), limits=limits)
        _check_jumps(ports, stage, marks)
        with ports.transactions() as work:
            work.rebalances.store_prices(stage.rebalance.id, [marks[symbol] for symbol in symbols])
            work.commit()
        ports.cache.keep_prices(stage.account, [marks[symbol] for symbol in symbols])

    return ObservedPrices(marks, denial_of(ports, stage, keep_sound_prices))


def _check_jumps(ports: Ports, stage: Stage, marks: Mapping[str, PriceMark]) -> None:
    """Deny a live run on prices that are far from the last run's, unless a person has confirmed them."""
    rebalance = stage.rebalance
    if rebalance.dry_run or DenialReason.PRICE_COLLAR in rebalance.confirmed:
        return
    with ports.transactions() as work:
        previous = work.rebalances.newest_prices(stage.account.id, list(marks))
    for denial in price_jumps(marks, previous, stage.account.settings):
        raise denial
