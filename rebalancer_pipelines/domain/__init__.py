"""The trading rules, in the standard library only: nothing here reads a clock, a network or a database."""
