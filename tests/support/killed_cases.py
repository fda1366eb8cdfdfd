"""What varies from death to death: the money, which order meets what, how the venue misbehaves, who dies next."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tests.support.kraken_double import (
    BadGzip,
    Delayed,
    EmptyBody,
    EmptyJson,
    ErrorAnswer,
    HtmlPage,
    InvalidNonce,
    KrakenDouble,
    LoseRequest,
    LoseResponse,
    MissingTxid,
    Reset,
    Status,
    Truncated,
)

ORDERS = 3
"""Of every first run: one sell and two buys, or two sells and one buy."""

_MID = {"BTC": Decimal("61234.55"), "ETH": Decimal("2431.375"), "XRP": Decimal("1.8232")}
_EVERYTHING = "1000000000"

Scene = Callable[[KrakenDouble, random.Random, int], None]
"""What happens to the order of that number, counted from 1."""


def plain(_double: KrakenDouble, _chance: random.Random, _number: int) -> None:
    """The order is taken and filled."""


def answer_lost(double: KrakenDouble, chance: random.Random, number: int) -> None:
    """The order is taken and filled, and the answer does not tell."""
    faults = (
        LoseResponse(),
        Reset(),
        Truncated(),
        HtmlPage(),
        EmptyBody(),
        EmptyJson(),
        MissingTxid(),
        BadGzip(),
        Status(502),
        ErrorAnswer("EService:Timeout", done=True),
    )
    double.inject("AddOrder", chance.choice(faults), after=number - 1)


def not_taken(double: KrakenDouble, chance: random.Random, number: int) -> None:
    """The order is not taken, or too late, and nobody says so."""
    faults = (LoseRequest(), Reset(done=False), Status(524, done=False), Delayed(30))
    double.inject("AddOrder", chance.choice(faults), after=number - 1)


def refused(double: KrakenDouble, chance: random.Random, number: int) -> None:
    """The venue says that it does not take the order."""
    errors = ("EOrder:Insufficient funds", "EOrder:Invalid price", "EGeneral:Invalid arguments:volume")
    double.inject("AddOrder", ErrorAnswer(chance.choice(errors)), after=number - 1)


def stays_open(double: KrakenDouble, chance: random.Random, number: int) -> None:
    """The order stays open, filled in part or not at all; when it is cancelled, it may be filled before."""
    _fill_those_before(double, number)
    double.leave_open(filled=chance.choice(["0", "0.001"]), fills_on_cancel=chance.choice(["0", "0.0005", _EVERYTHING]))


def stays_open_unfilled(double: KrakenDouble, _chance: random.Random, number: int) -> None:
    """The order stays open until it is cancelled, and never trades."""
    _fill_those_before(double, number)
    double.leave_open()


def filled_in_part(double: KrakenDouble, chance: random.Random, number: int) -> None:
    """The book has less than the order wants."""
    _fill_those_before(double, number)
    double.fill_next(chance.choice(["0.001", "0.0004321"]))


def _fill_those_before(double: KrakenDouble, number: int) -> None:
    for _ in range(number - 1):
        double.fill_next(_EVERYTHING)


def _sound(_double: KrakenDouble) -> None:
    pass


def _lists_in_disorder(double: KrakenDouble) -> None:
    double.shuffle_trades()
    double.repeat_trades()


ALWAYS: Mapping[str, Callable[[KrakenDouble], None]] = {
    "sound": _sound,
    "orders appear late": lambda double: double.hide_orders_for(45),
    "trades appear late": lambda double: double.hide_trades_for(12),
    "balances are old": lambda double: double.stale_balances_for(15),
    "lists in disorder": _lists_in_disorder,
}
"""How the venue behaves all the time.

Late is earlier than the program gives up waiting for it: 60 s after an order's deadline, 30 s after it is cancelled.
"""


def _all_appears_late(double: KrakenDouble) -> None:
    double.hide_orders_for(45)
    double.hide_trades_for(45)
    double.stale_balances_for(45)


def catch_up(double: KrakenDouble) -> None:
    """End what began with the death."""
    double.clear_faults()
    double.hide_orders_for(0)
    double.hide_trades_for(0)
    double.stale_balances_for(0)


FROM_THE_DEATH_ON: Mapping[str, Callable[[KrakenDouble], None]] = {
    "sound": _sound,
    "all appears late": _all_appears_late,
    "look-ups fail": lambda double: double.fail_lookups(3),
    "a gateway fails": lambda double: double.inject("*", Status(502), times=4),
    "answers are cut": lambda double: double.inject("OpenOrders", Truncated(), times=2),
    "nonces are refused": lambda double: double.inject("*", InvalidNonce(), times=2),
}
"""How it misbehaves for a while when the process has died."""

DEATHS_OF_RECOVERY = (
    "before:write OpenOrders:1",
    "after:write QueryOrders:1",
    "after:read Ledgers:1",
    "before:booked:1",
    "after:booked:1",
    "before:NOT_ACCEPTED:1",
    "after:NOT_ACCEPTED:1",
    "before:closed:1",
    "after:closed:1",
)
"""Where a recovery may die, if it comes by."""


@dataclass(frozen=True, slots=True)
class Case:
    """One death and what comes with it.

    `recovery` is who settles: `recover` looks once, `rebalance` waits for the venue and trades then. `dies_again` is
    where that one dies too. `sweeps`: a recovery in bulk comes before the last run.
    """

    balances: Mapping[str, str]
    weights: str
    number: int
    always: str
    from_the_death_on: str
    recovery: str
    dies_again: str | None
    sweeps: bool


def chance_of(*words: object) -> random.Random:
    """A source of chance that is the same whenever the words are."""
    return random.Random(" ".join(map(str, words)))


def a_case(repetition: int, chance: random.Random) -> Case:
    """Every order meets every misbehaviour in eighteen repetitions; the rest is left to chance."""
    balances, weights = _money(chance)
    misbehaviours = list(FROM_THE_DEATH_ON)
    from_the_death_on = misbehaviours[repetition // ORDERS % len(misbehaviours)]
    return Case(
        balances=balances,
        weights=weights,
        number=repetition % ORDERS + 1,
        always=chance.choice(list(ALWAYS)),
        from_the_death_on=from_the_death_on,
        recovery=chance.choice(["recover", "rebalance"]),
        dies_again=chance.choice(DEATHS_OF_RECOVERY) if chance.random() < 0.3 else None,
        # A look that comes too early must not take absence for proof.
        sweeps=from_the_death_on == "all appears late" or chance.random() < 0.5,
    )


def _money(chance: random.Random) -> tuple[dict[str, str], str]:
    """Too much of one or two currencies, nothing of the others: each of the three has to be traded."""
    targets = {currency: chance.randint(12, 30) for currency in _MID}
    weights = ",".join(f"{currency}={weight}" for currency, weight in targets.items())
    held = chance.sample(sorted(_MID), chance.randint(1, 2))
    value, cash = Decimal(chance.randint(1500, 7500)), Decimal(chance.randint(1, 200))
    balances = {currency: f"{value / len(held) / _MID[currency]:.8f}" for currency in held}
    return {**balances, "EUR": str(cash)}, f"{weights},EUR={100 - sum(targets.values())}"
