"""One rebalance as its stages: start, prices, value, plan, execute, close; and recovery of one that was cut off."""
