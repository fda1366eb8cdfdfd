"""Dagster, and nothing but Dagster: what it calls lives in the use cases."""
