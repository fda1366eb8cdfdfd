"""Adapters: PostgreSQL, venues, prices, embedded servers and the clock behind the application's ports."""
