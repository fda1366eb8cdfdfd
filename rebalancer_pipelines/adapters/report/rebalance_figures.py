"""What the rebalances of a history did, as figures: drift, traded value and success."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar

from rebalancer_pipelines.adapters.report import words
from rebalancer_pipelines.adapters.report.charts.bars import draw_columns
from rebalancer_pipelines.adapters.report.charts.scale import DayScale
from rebalancer_pipelines.adapters.report.charts.steps import Step, draw_steps
from rebalancer_pipelines.adapters.report.figure import Figure, NumberRow
from rebalancer_pipelines.application.portfolio_report import ReportedHistory
from rebalancer_pipelines.domain.statistics import Grain
from rebalancer_pipelines.domain.values import EXACT, ZERO

_MOST_STEPS = 110
"""More rebalances than that are shown as averages: their strokes would run into each other."""
_FEWEST_OTHERS, _TOWERS = 3, 2
_WIDTH, _HEIGHT = 490.0, 250.0

_Place = TypeVar("_Place")


def drift(history: ReportedHistory, *, prefix: str) -> Figure | None:
    """How far from its targets the portfolio was before and after every rebalance."""
    steps = [
        (step.executed_at, step.drift_before, step.drift_after)
        for step in history.drift_steps
        if step.drift_before is not None and step.drift_after is not None
    ]
    if not steps:
        return None
    shown, each = _thinned(steps, history)
    before, after = _mean([step[1] for step in steps]), _mean([step[2] for step in steps])
    outlier = _outlier({moment: before for moment, before, _ in shown})
    drawn: list[Step] = [(moment, float(before), float(after)) for moment, before, after in shown]
    return Figure(
        identity=f"{prefix}-drift",
        title="Drift before and after",
        caption=f"Percentage points that stood in the wrong currency, {each}",
        description=f"On average {words.points(before)} points before and {words.points(after)} after a rebalance.",
        draw=lambda frame: draw_steps(frame, history.span, drawn, unit="\u00a0pt", leaving_out=outlier),
        columns=("Rebalance" if len(shown) == len(steps) else "From", "Before", "After"),
        numbers=[
            NumberRow(_moment_place(history, moment), (words.minute(moment), words.points(b), words.points(a)))
            for moment, b, a in shown
        ],
        legend=(
            ("ring", "Before, on average", words.points(before, unit="\u00a0pt")),
            ("reached", "After, on average", words.points(after, unit="\u00a0pt")),
        ),
        notes=[
            f"{words.day(moment)} began at {words.points(before)} points, above the edge."
            for moment, before, _ in shown
            if moment in outlier
        ],
        width=_WIDTH,
        height=_HEIGHT,
    )


def traded_value(history: ReportedHistory, currency: str, *, prefix: str) -> Figure | None:
    """What was bought and sold in every period."""
    sums: dict[date, list[Decimal]] = {}
    for row in history.traded_values:
        if row.period_start is not None and row.valuation_currency == currency:
            period = sums.setdefault(row.period_start, [ZERO, ZERO])
            period[row.side == "sell"] += row.traded_value
    if not sums:
        return None
    outlier = _outlier({start: max(period) for start, period in sums.items()})
    bought, sold = (sum((period[side] for period in sums.values()), ZERO) for side in (0, 1))
    return Figure(
        identity=f"{prefix}-traded",
        title="Traded value",
        caption=f"Bought above and sold below the line, in {currency}, {_per(history.grain)}",
        description=f"Bought for {words.money(bought, currency)} and sold for {words.money(sold, currency)} in all.",
        draw=lambda frame: draw_columns(
            frame,
            _span(history, sums),
            ("bought", "sold"),
            {start: (float(up), -float(down)) for start, (up, down) in sums.items()},
            leaving_out=outlier,
        ),
        columns=(_heading(history.grain), "Bought", "Sold"),
        numbers=[
            NumberRow(_place(history, start), (words.day(start), words.money(up), words.money(down)))
            for start, (up, down) in sorted(sums.items())
        ],
        legend=(
            ("bought", "Bought", words.money(bought, currency)),
            ("sold", "Sold", words.money(sold, currency)),
        ),
        notes=[
            f"Beyond the edge, {words.day(start)}: {words.money(up)} bought, {words.money(down)} sold."
            for start, (up, down) in sums.items()
            if start in outlier
        ],
        width=_WIDTH,
        height=_HEIGHT,
    )


def success(history: ReportedHistory, *, prefix: str) -> Figure | None:
    """How many rebalances of every period were done, and how many failed or were denied."""
    rows = [(row.period_start, row) for row in history.success_rates if row.period_start is not None]
    if not rows:
        return None
    done, failed = sum(row.successes for _, row in rows), sum(row.failures for _, row in rows)
    rate = words.percent(EXACT.divide(Decimal(done), Decimal(done + failed)))
    return Figure(
        identity=f"{prefix}-success",
        title="Success rate",
        caption=f"{rate} of {words.counted(done + failed, 'rebalance')} were done, {_per(history.grain)}",
        description=f"{words.counted(done, 'rebalance')} done, {failed} failed or denied: {rate}.",
        draw=lambda frame: draw_columns(
            frame,
            _span(history, dict(rows)),
            ("done", "failed"),
            {start: (float(row.successes), float(row.failures)) for start, row in rows},
            least_step=1.0,
        ),
        columns=(_heading(history.grain), "Done", "Failed", "Success rate"),
        numbers=[
            NumberRow(
                _place(history, start),
                (
                    words.day(start),
                    words.whole(row.successes),
                    words.whole(row.failures),
                    words.points(row.success_rate, unit="\u00a0%"),
                ),
            )
            for start, row in rows
        ],
        legend=(("done", "Done", words.whole(done)), ("failed", "Failed or denied", words.whole(failed))),
        width=_WIDTH,
        height=_HEIGHT,
    )


_Exact = tuple[datetime, Decimal, Decimal]


def _thinned(steps: Sequence[_Exact], history: ReportedHistory) -> tuple[Sequence[_Exact], str]:
    """The steps, or their averages per period where there are too many; and what one stands for."""
    if len(steps) <= _MOST_STEPS:
        return steps, "before and after each rebalance"
    periods: dict[date, list[_Exact]] = {}
    for step in steps:
        periods.setdefault(_period(step[0].astimezone(UTC).date(), history.grain), []).append(step)
    first = datetime.combine(history.span[0], time(), UTC)
    averages = [
        (
            max(first, datetime.combine(start, time(), UTC)),
            _mean([b for _, b, _ in g]),
            _mean([a for *_, a in g]),
        )
        for start, g in sorted(periods.items())
    ]
    return averages, f"on average {_per(history.grain)}"


def _outlier(sizes: Mapping[_Place, Decimal]) -> Collection[_Place]:
    """The one that is so much larger than all others that it would flatten them: mostly the first purchase."""
    largest, *others = sorted(sizes, key=lambda place: sizes[place], reverse=True)
    if len(others) < _FEWEST_OTHERS or sizes[largest] <= _TOWERS * sizes[others[0]]:
        return ()
    return (largest,)


def _period(day: date, grain: Grain) -> date:
    if grain is Grain.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain is Grain.MONTH else day


def _mean(numbers: Sequence[Decimal]) -> Decimal:
    return EXACT.divide(sum(numbers, ZERO), Decimal(len(numbers)))


def _per(grain: Grain) -> str:
    return {Grain.DAY: "per day", Grain.WEEK: "per week", Grain.MONTH: "per month"}.get(grain, "in all")


def _heading(grain: Grain) -> str:
    return {Grain.DAY: "Day", Grain.WEEK: "Week from"}.get(grain, "Month from")


def _span(history: ReportedHistory, starts: Mapping[date, object]) -> tuple[date, date]:
    """The span of the history; a first week may have begun before it."""
    first, last = history.span
    return min(first, *starts), last


def _place(history: ReportedHistory, day: date) -> float:
    return max(0.0, DayScale(*history.span, 0, 1).fraction(day))


def _moment_place(history: ReportedHistory, moment: datetime) -> float:
    first, last = history.span
    return DayScale(first, last + timedelta(days=1), 0, 1).fraction(moment.date(), moment.hour + moment.minute / 60)
