"""What can go wrong, as types: bad input, a refusal of ours, and broken invariants."""

from __future__ import annotations

from enum import StrEnum


class RebalancerError(Exception):
    """Base of every error that this program raises on purpose; its text is one line for a person."""


class InvalidInputError(RebalancerError):
    """A value that somebody gave cannot be used; nothing was stored.

    The text names the field, the value and the remedy.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        """Name the `field`, the `value` that was given and the `remedy`, a phrase that says what to do."""
        super().__init__(f"{field}: {value!r} {remedy}" if value is not None else f"{field}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


class NotFoundError(InvalidInputError):
    """A name that was given stands for nothing stored."""


class IllegalTransitionError(RebalancerError):
    """An order was asked to move between two states that the transition table does not join."""


class VenueUnreachableError(RebalancerError):
    """A venue or price source could not be read. Never to be taken for an empty answer."""


class LeaseLostError(RebalancerError):
    """Another worker holds the account now; whatever this one still wanted to write was refused."""


class AnalyticsNotBuiltError(RebalancerError):
    """Nothing has been made of the history yet."""

    def __init__(self) -> None:
        """Name the remedy."""
        super().__init__("analytics: are not built yet; run 'rebalancer analytics build'")


class DenialReason(StrEnum):
    """Why we refused to go on, before anything reached a venue."""

    ACCOUNT_BUSY = "ACCOUNT_BUSY"
    ACCOUNT_HALTED = "ACCOUNT_HALTED"
    ALREADY_REBALANCED = "ALREADY_REBALANCED"
    BOOKS_DIFFER = "BOOKS_DIFFER"
    CASH_RESERVE = "CASH_RESERVE"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    CLOCK_SKEW = "CLOCK_SKEW"
    DRAWDOWN_HALT = "DRAWDOWN_HALT"
    DUST_SKIPPED = "DUST_SKIPPED"
    INTERRUPTED = "INTERRUPTED"
    KEY_CAN_WITHDRAW = "KEY_CAN_WITHDRAW"
    KEY_LACKS_PERMISSION = "KEY_LACKS_PERMISSION"
    KILLED = "KILLED"
    LEASE_LOST = "LEASE_LOST"
    LIVE_DISABLED = "LIVE_DISABLED"
    MARKET_MISSING = "MARKET_MISSING"
    MAX_NOTIONAL = "MAX_NOTIONAL"
    NOTHING_TO_DIVIDE = "NOTHING_TO_DIVIDE"
    ORDER_RATE = "ORDER_RATE"
    PAIR_HALTED = "PAIR_HALTED"
    PLAN_UNSOUND = "PLAN_UNSOUND"
    PRICE_COLLAR = "PRICE_COLLAR"
    PRICE_INVALID = "PRICE_INVALID"
    PRICE_STALE = "PRICE_STALE"
    SEND_WINDOW = "SEND_WINDOW"
    TURNOVER = "TURNOVER"
    UNALLOCATED_SHORT = "UNALLOCATED_SHORT"
    VENUE_UNREACHABLE = "VENUE_UNREACHABLE"
    WEIGHTS_INVALID = "WEIGHTS_INVALID"


class DeniedError(RebalancerError):
    """A rebalance was refused; the text names what was found, the limit and the remedy."""

    def __init__(self, reason: DenialReason, message: str) -> None:
        """Keep the typed `reason` beside the one-line `message`."""
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message
