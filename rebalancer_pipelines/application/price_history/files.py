"""Importing bars from files of the user's: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence

from rebalancer_pipelines.application.ports import BarFiles, Ports
from rebalancer_pipelines.application.price_history.progress import Progress, unheard
from rebalancer_pipelines.domain.price_history import StoredBars


def import_bars(ports: Ports, files: BarFiles, *, progress: Progress = unheard) -> Sequence[StoredBars]:
    """Store what the files hold; by market, what it came to. A bar of the venue or recording itself stands.

    Raises `InvalidInputError` naming the first bad row; nothing is stored then.
    """
    bars = files.read(progress)
    with ports.transactions() as work:
        stored = work.bars.add(bars)
        for price_source in sorted({one.price_source for one in stored}):
            counts = {
                one.symbol: {"added": one.added, "changed": one.changed}
                for one in stored
                if one.price_source == price_source
            }
            work.activity.add("bars.imported", price_source, counts, ports.clock.now())
        work.commit()
    return stored
