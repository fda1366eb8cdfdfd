"""The partitions of the assets.

Here: partition definitions and their names. Not here: who adds and removes keys (`sensors`), what a key stands for
(the table `portfolio`), what a day holds (use cases).
"""

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from rebalancer_pipelines.domain.day_span import DaySpan

PORTFOLIOS = dg.DynamicPartitionsDefinition(name="portfolio")
"""One partition per portfolio; its key is the portfolio's name."""

DAYS = dg.DailyPartitionsDefinition(start_date="2017-10-01", timezone="UTC")
"""One partition per day in UTC, from the recording's first; a day is there once it has ended."""


def range_tags(span: DaySpan) -> dict[str, str]:
    """The tags by which one run is about a range of days."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: span.first.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: span.last.isoformat(),
    }
