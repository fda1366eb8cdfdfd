"""Portfolio history: what every book was worth day by day, and bringing that up to date."""
