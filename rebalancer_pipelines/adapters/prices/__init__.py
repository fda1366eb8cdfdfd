"""Price sources: a recorded market, and public tickers."""
