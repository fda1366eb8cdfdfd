"""Portfolio rebalancer for crypto holdings: plans, trades and records under Dagster and PostgreSQL."""
