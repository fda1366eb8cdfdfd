"""The assets of a rebalance, in the order in which they are made."""
