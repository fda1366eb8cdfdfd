"""Reading the prices that a rebalance rests on, and refusing those that are not fit to trade on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.application.rebalance.stage import Stage, denial_of, recording_failure
from rebalancer_pipelines.domain.errors import DeniedError
from rebalancer_pipelines.domain.market import PriceLimits, PriceMark, check_price
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
    with recording_failure(ports, stage.rebalance):
        marks = ports.venues.connect(stage.account).prices(symbols)

    def keep_sound_prices() -> None:
        for symbol in symbols:
            check_price(marks.get(symbol), symbol, now=ports.clock.now(), limits=PriceLimits())
        with ports.transactions() as work:
            work.rebalances.store_prices(stage.rebalance.id, [marks[symbol] for symbol in symbols])
            work.commit()

    return ObservedPrices(marks, denial_of(ports, stage.rebalance, keep_sound_prices))
