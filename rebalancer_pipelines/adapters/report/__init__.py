"""The report of a portfolio: one HTML page that holds all it shows and loads nothing."""
