"""What a portfolio's history rests on."""

from __future__ import annotations

from enum import StrEnum


class HistoryBasis(StrEnum):
    """BOOKED is what happened, from the ledger. REHEARSED is what the planner would have done on a recorded market."""

    BOOKED = "booked"
    REHEARSED = "rehearsed"
