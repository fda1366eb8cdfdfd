"""How a portfolio did, as figures: value, drawdown, weights and fees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from rebalancer_pipelines.adapters.report import words
from rebalancer_pipelines.adapters.report.charts.area import draw_shares
from rebalancer_pipelines.adapters.report.charts.line import Line, draw_lines
from rebalancer_pipelines.adapters.report.charts.scale import DayScale
from rebalancer_pipelines.adapters.report.figure import Figure, NumberRow
from rebalancer_pipelines.application.portfolio_report import ReportedHistory
from rebalancer_pipelines.domain.statistics import DailyHolding, PerformanceDay
from rebalancer_pipelines.domain.values import EXACT, HUNDRED, ONE, ZERO

_MOST_SHARES = 7
"""So many currencies have a colour of their own; the smaller ones are shown together."""
_OTHERS = "others"

Curve = Sequence[tuple[date, Decimal | None]]


def performance_figures(history: ReportedHistory, currency: str, *, prefix: str) -> list[Figure]:
    """The figures of a history that has days, in the order in which they are read."""
    return [
        _value(history, currency, prefix),
        _drawdown(history, prefix),
        _weights(history, currency, prefix),
    ]


def fees(history: ReportedHistory, currency: str, *, prefix: str) -> Figure:
    """What trading has cost up to every day."""
    paid = _curve(history.days, "fees_to_date")
    newest = history.newest
    share = f", {words.percent(newest.fee_drag)} of the value" if newest and newest.fee_drag is not None else ""
    total = words.money(newest.fees_to_date if newest else None, currency)
    return Figure(
        identity=f"{prefix}-fees",
        title="Fees",
        caption=f"Paid to the venue so far, in {currency}: {total}{share}",
        description=f"Fees paid up to each day, {total} in all.",
        draw=lambda frame: draw_lines(frame, history.span, [Line("cost", _floats(paid), filled=True)], with_zero=True),
        columns=("Day", f"Fees to date, {currency}", "Share of the value"),
        numbers=[
            NumberRow(
                _place(history, row.day),
                (words.day(row.day), words.money(row.fees_to_date), words.percent(row.fee_drag)),
            )
            for row in history.days
            if row.value is not None
        ],
        width=490,
        height=250,
    )


def drawdowns(returns: Curve) -> list[tuple[date, Decimal | None]]:
    """How far below its highest point so far every day of a curve of returns stands."""
    highest = ONE
    found: list[tuple[date, Decimal | None]] = []
    for day, gained in returns:
        if gained is None:
            found.append((day, None))
            continue
        reached = ONE + gained
        highest = max(highest, reached)
        found.append((day, EXACT.divide(reached, highest) - ONE))
    return found


def _value(history: ReportedHistory, currency: str, prefix: str) -> Figure:
    days, newest = history.days, history.newest
    value, hold = _curve(days, "value"), _curve(days, "hold_value")
    flows = [row for row in days[1:] if row.inflow or row.outflow]
    notes = _gaps(history)
    if flows:
        listed = "; ".join(
            f"{words.points((row.inflow or ZERO) - (row.outflow or ZERO), signed=True)} on {words.day(row.day)}"
            for row in flows[:12]
        )
        more = f"; and {words.counted(len(flows) - 12, 'more day')}" if len(flows) > 12 else ""
        notes.append(f"Dotted, money that came in or went out: {listed}{more}, in {currency}. Returns leave it out.")
    return Figure(
        identity=f"{prefix}-value",
        title="Value",
        caption=f"At each day's close, in {currency}, beside the same money held and never traded",
        description=(
            f"The value of the portfolio from {words.day(days[0].day)} to {words.day(days[-1].day)}; "
            f"last {_money(newest, 'value', currency)}, held and never traded {_money(newest, 'hold_value', currency)}."
        ),
        draw=lambda frame: draw_lines(
            frame,
            history.span,
            [Line("own", _floats(value)), Line("held", _floats(hold))],
            marked=[row.day for row in flows],
        ),
        columns=("Day", "Portfolio", "Held instead", "Came in", "Went out"),
        numbers=[
            NumberRow(
                _place(history, row.day),
                (words.day(row.day), *map(words.money, (row.value, row.hold_value, row.inflow, row.outflow))),
            )
            for row in days
        ],
        legend=(
            ("own", "Portfolio", _money(newest, "value", currency)),
            ("held", "Held and never traded", _money(newest, "hold_value", currency)),
        ),
        notes=notes,
        height=320,
    )


def _drawdown(history: ReportedHistory, prefix: str) -> Figure:
    own = _curve(history.days, "drawdown")
    held = drawdowns(_curve(history.days, "hold_return"))
    numbers = [
        NumberRow(_place(history, day), (words.day(day), words.percent(deep), words.percent(beside)))
        for (day, deep), (_, beside) in zip(own, held, strict=True)
    ]
    deepest = [min((deep for _, deep in curve if deep is not None), default=None) for curve in (own, held)]
    return Figure(
        identity=f"{prefix}-drawdown",
        title="Drawdown",
        caption="How far below its highest point so far, deposits and withdrawals left out",
        description=(
            f"At its deepest the portfolio was {words.percent(deepest[0])} from its highest point, "
            f"held and never traded {words.percent(deepest[1])}."
        ),
        draw=lambda frame: draw_lines(
            frame,
            history.span,
            [Line("loss", _floats(own, HUNDRED), filled=True), Line("held", _floats(held, HUNDRED))],
            unit="\u00a0%",
            with_zero=True,
        ),
        columns=("Day", "Portfolio", "Held instead"),
        numbers=numbers,
        legend=(
            ("loss", "Portfolio, deepest", words.percent(deepest[0])),
            ("held", "Held and never traded, deepest", words.percent(deepest[1])),
        ),
        height=190,
    )


def _weights(history: ReportedHistory, currency: str, prefix: str) -> Figure:
    weights = _daily_weights(history)
    shown = _largest(weights.values())
    unpriced = sorted({row.currency for row in history.holdings if row.units and row.value is None} - set(shown))
    valued = {row.day for row in history.days if row.value is not None}
    shares: list[tuple[date, list[Decimal] | None]] = []
    for day in _every_day(history.days):
        found = weights.get(day) if day in valued else None
        shares.append((day, None if found is None else _parts(found, shown)))
    newest = next((parts for _, parts in reversed(shares) if parts is not None), [ZERO] * len(shown))
    classes = [_share_class(name, place, currency) for place, name in enumerate(shown)]
    notes = [f"Without a price, and so not counted: {', '.join(unpriced)}."] if unpriced else []
    return Figure(
        identity=f"{prefix}-weights",
        title="Weights",
        caption="Share of each currency in the value at each day's close",
        description="Last: "
        + ", ".join(f"{n} {words.points(p)}\u00a0%" for n, p in zip(shown, newest, strict=True))
        + ".",
        draw=lambda frame: draw_shares(
            frame, history.span, classes, [(day, _as_floats(parts)) for day, parts in shares]
        ),
        columns=("Day", *shown),
        numbers=[
            NumberRow(_place(history, day), (words.day(day), *(words.points(part, unit="\u00a0%") for part in parts)))
            for day, parts in shares
            if parts is not None
        ],
        legend=[
            (class_, name, words.points(part, unit="\u00a0%"))
            for class_, name, part in zip(classes, shown, newest, strict=True)
        ],
        notes=notes,
        height=280,
    )


def _daily_weights(history: ReportedHistory) -> dict[date, dict[str, Decimal]]:
    by_day: dict[date, list[DailyHolding]] = {}
    for row in history.holdings:
        by_day.setdefault(row.day, []).append(row)
    weights: dict[date, dict[str, Decimal]] = {}
    for day, rows in by_day.items():
        worth = {row.currency: row.value for row in rows if row.value is not None}
        total = sum(worth.values(), ZERO)
        if total > ZERO:
            weights[day] = {name: EXACT.divide(value * HUNDRED, total) for name, value in worth.items()}
    return weights


def _largest(weights: Iterable[dict[str, Decimal]]) -> list[str]:
    """The currencies that are shown, the largest on average first; the rest of them is `others`."""
    sums: dict[str, Decimal] = {}
    for day in weights:
        for name, weight in day.items():
            sums[name] = sums.get(name, ZERO) + weight
    ordered = [name for name in sorted(sums, key=lambda name: (-sums[name], name)) if sums[name]]
    return ordered if len(ordered) <= _MOST_SHARES else [*ordered[: _MOST_SHARES - 1], _OTHERS]


def _parts(weights: dict[str, Decimal], shown: Sequence[str]) -> list[Decimal]:
    parts = [weights.get(name, ZERO) for name in shown if name != _OTHERS]
    return [*parts, HUNDRED - sum(parts, ZERO)] if _OTHERS in shown else parts


def _share_class(name: str, place: int, valuation_currency: str) -> str:
    return "cash" if name == valuation_currency else "others" if name == _OTHERS else f"share-{place + 1}"


def _gaps(history: ReportedHistory) -> list[str]:
    """The days without a value in a sentence, with what they lack."""
    lacking: dict[str, list[date]] = {}
    for row in history.missing:
        lacking.setdefault(", ".join(row.currencies), []).append(row.day)
    named = {row.day for row in history.missing}
    built = {row.day for row in history.days if row.value is not None}
    unbuilt = [day for day in _every_day(history.days) if day not in named and day not in built]
    notes = [f"No value on {words.days(listed)}: no price of {names}." for names, listed in lacking.items()]
    return notes + ([f"Not built yet: {words.days(unbuilt)}."] if unbuilt else [])


def _every_day(days: Sequence[PerformanceDay]) -> list[date]:
    first, last = days[0].day, days[-1].day
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _curve(days: Sequence[PerformanceDay], field: str) -> list[tuple[date, Decimal | None]]:
    """A figure of every day; a day without a value has none, whatever is carried over to it."""
    return [(row.day, getattr(row, field) if row.value is not None else None) for row in days]


def _floats(curve: Curve, factor: Decimal = ONE) -> list[tuple[date, float | None]]:
    return [(day, None if value is None else float(value * factor)) for day, value in curve]


def _as_floats(parts: Sequence[Decimal] | None) -> list[float] | None:
    return None if parts is None else [float(part) for part in parts]


def _money(day: PerformanceDay | None, field: str, currency: str) -> str:
    return words.money(getattr(day, field) if day else None, currency)


def _place(history: ReportedHistory, day: date) -> float:
    return DayScale(*history.span, 0, 1).fraction(day)
