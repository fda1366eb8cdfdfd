"""Kraken: its words, its limits and how its answers are read."""
