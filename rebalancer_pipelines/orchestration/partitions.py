"""The partitions of the assets.

Here: partition definitions and their names. Not here: who adds and removes keys (`sensors`), what a key stands for
(the table `portfolio`).
"""

import dagster as dg

PORTFOLIOS = dg.DynamicPartitionsDefinition(name="portfolio")
"""One partition per portfolio; its key is the portfolio's name."""
