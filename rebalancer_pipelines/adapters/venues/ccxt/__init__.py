"""Real exchanges, reached through ccxt: what they have in common, and one package for each that is known."""
