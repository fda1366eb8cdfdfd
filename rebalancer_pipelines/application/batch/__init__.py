"""Many portfolios in one run: planned in bulk, netted per account, executed per account, recorded in bulk."""
