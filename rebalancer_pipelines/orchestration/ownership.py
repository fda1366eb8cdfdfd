"""Who answers for the assets.

Here: the owners that the UI shows. Not here: access rights; Dagster does not enforce any.
"""

OWNERS = ["team:rebalancer"]
