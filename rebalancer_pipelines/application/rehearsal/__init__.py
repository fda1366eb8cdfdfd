"""Rehearsing portfolios over a year of the recorded market; none of it touches their books or their accounts."""
