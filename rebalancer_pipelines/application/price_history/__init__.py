"""Price history: collecting bars, importing them, and knowing what is missing."""
