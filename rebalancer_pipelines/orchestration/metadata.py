"""Metadata: what a step shows of its result in the UI.

Here: tables, markdown and figures made from results of the use cases. Not here: any computation that another part of
the program relies on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from decimal import Decimal
from typing import Any

import dagster as dg

from rebalancer_pipelines.application.price_history.collect import BarCollection
from rebalancer_pipelines.application.rebalance.start import AccountState
from rebalancer_pipelines.domain.daily_value import BuiltDay, MissingCloses
from rebalancer_pipelines.domain.market import PriceMark
from rebalancer_pipelines.domain.order import Order
from rebalancer_pipelines.domain.price_history import BarGap
from rebalancer_pipelines.domain.rebalance import RebalanceRecord, WeighedPosition
from rebalancer_pipelines.domain.values import plain

Metadata = dict[str, Any]
_CENT = Decimal("0.01")
_MOST_ROWS = 100
"""A run over many days writes its metadata once for each of them."""


def _table(columns: Mapping[str, str], rows: Iterable[Sequence[str]]) -> dg.TableMetadataValue:
    """A table of text; `columns` maps names to descriptions."""
    return dg.TableMetadataValue(
        records=[dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
        schema=dg.TableSchema(
            [dg.TableColumn(name, type="string", description=description) for name, description in columns.items()]
        ),
    )


def money(amount: Decimal) -> str:
    """An amount to the cent, for people."""
    return f"{amount.quantize(_CENT) + 0:,}"


def figure(amount: Decimal) -> float:
    """An amount to the cent as a number that Dagster can plot; for the eye only."""
    return float(amount.quantize(_CENT))


def _points(drift: Decimal) -> str:
    """Percentage points with their sign; what rounds to nothing has none."""
    rounded = drift.quantize(_CENT)
    return f"{rounded:+}" if rounded else "0.00"


def price_notice(marks: Iterable[PriceMark]) -> str:
    """Where prices come from; a recording says so, with the moment that it shows."""
    marks = list(marks)
    sources = ", ".join(sorted({m.source for m in marks})) or "none"
    recorded = min((m.recorded_at for m in marks if m.recorded_at), default=None)
    if recorded is None:
        return sources
    return f"**RECORDED market** ({sources}), showing {recorded:%Y-%m-%d %H:%M} UTC: not today's prices"


def source_notice(price_source: str) -> dg.MarkdownMetadataValue:
    """Where the values of a step come from, for steps that show no prices of their own."""
    recorded = price_source == "recorded"
    return dg.MetadataValue.md("**RECORDED market**: not today's prices" if recorded else price_source)


def balances_metadata(state: AccountState) -> Metadata:
    """Balances at the venue beside the books."""
    total = state.books.total()
    mine = state.books.of(state.stage.portfolio.id)
    columns = {
        "currency": "",
        "at venue": "total units",
        "free": "units that may be traded",
        "books": "sum of all books on the account",
        "this portfolio": "its own book",
    }
    rows = [
        (c, plain(h.total), plain(h.free), plain(total.get(c, Decimal(0))), plain(mine.get(c, Decimal(0))))
        for c, h in sorted(state.balances.items())
        if h.total
    ]
    rebalance = state.stage.rebalance
    return {
        "account": state.stage.account.name,
        "venue": state.stage.account.venue,
        "mode": state.mode.describe(state.stage.account),
        "rebalance_id": str(rebalance.id),
        "balances": _table(columns, rows),
    }


def prices_metadata(marks: Mapping[str, PriceMark]) -> Metadata:
    """Bid, ask and mid per market."""
    columns = {
        "market": "",
        "bid": "quote per base",
        "ask": "quote per base",
        "mid": "price of valuation",
        "spread %": "",
        "observed at": "UTC",
    }
    rows = [
        (s, plain(m.bid), plain(m.ask), plain(m.mid), f"{m.spread_percent:.3f}", f"{m.observed_at:%Y-%m-%d %H:%M:%S}")
        for s, m in sorted(marks.items())
    ]
    return {"prices": _table(columns, rows), "price_source": dg.MetadataValue.md(price_notice(marks.values()))}


def positions_table(positions: Iterable[WeighedPosition]) -> dg.TableMetadataValue:
    """Quantities, values and weights."""
    columns = {
        "currency": "",
        "quantity": "units",
        "price": "mid",
        "value": "in valuation currency",
        "weight %": "",
        "target %": "",
        "drift": "percentage points",
    }
    return _table(
        columns,
        (
            (
                p.currency,
                plain(p.quantity),
                plain(p.price),
                money(p.value),
                f"{p.weight:.2f}",
                f"{p.target:.2f}",
                _points(p.weight - p.target),
            )
            for p in positions
        ),
    )


def plan_metadata(document: Mapping[str, Any]) -> Metadata:
    """The plan as a person reads it."""
    return {
        "plan": dg.MetadataValue.md(_plan_markdown(document)),
        "orders": len(document["orders"]),
        "portfolio_value": figure(Decimal(document["portfolio_value"])),
        "expected_cost": figure(Decimal(document["expected_cost"])),
        "valuation_currency": document["valuation_currency"],
        "plan_hash": document["plan_hash"],
    }


def _plan_markdown(document: Mapping[str, Any]) -> str:
    currency = document["valuation_currency"]
    lines: list[str] = []
    if document["recorded_at"]:
        shown = datetime.fromisoformat(document["recorded_at"])
        lines += [f"**RECORDED market**, showing {shown:%Y-%m-%d %H:%M} UTC: not today's prices", ""]
    if document["orders"]:
        lines += [f"| side | market | quantity | price | worth {currency} | fee |", "|---|---|--:|--:|--:|--:|"]
        lines += [
            f"| {o['side']} | {o['market']} | {o['quantity']} | {o['price']} | {money(Decimal(o['notional']))} "
            f"| {money(Decimal(o['fee']))} |"
            for o in document["orders"]
        ]
    else:
        lines.append("**No order is needed.**")
    lines += ["", "| currency | now % | target % | drift | after % |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {w['currency']} | {Decimal(w['current']):.2f} | {Decimal(w['target']):.2f} "
        f"| {_points(Decimal(w['drift']))} | {Decimal(w['after']):.2f} |"
        for w in document["weights"]
    ]
    if document["skipped"]:
        lines += ["", "Left alone:", ""]
        lines += [f"- **{s['currency']}** {s['reason']}" for s in document["skipped"]]
    if document["denials"]:
        lines += ["", "A live run is denied:", ""]
        lines += [f"- **{d['code']}** {d['message']}" for d in document["denials"]]
    return "\n".join(lines)


def orders_metadata(orders: Sequence[Order], positions: Iterable[WeighedPosition], price_source: str) -> Metadata:
    """What became of every order, and the weights that followed."""
    columns = {
        "#": "",
        "side": "",
        "market": "",
        "state": "",
        "quantity": "ordered",
        "filled": "",
        "average price": "",
        "worth": "quote currency",
        "fee": "",
        "reason": "",
    }
    rows = [
        (
            str(o.sequence + 1),
            o.side.value,
            o.symbol,
            o.state.value,
            plain(o.quantity),
            plain(o.filled_quantity),
            f"{o.average_price:.8f}" if o.average_price is not None else "",
            money(o.filled_notional),
            ", ".join(f"{fee:.4f} {currency}" for currency, fee in o.fees.items()),
            o.reason or "",
        )
        for o in orders
    ]
    return {
        "orders": _table(columns, rows),
        "weights_after": positions_table(positions),
        "price_source": source_notice(price_source),
    }


def record_metadata(
    record: RebalanceRecord, before: Iterable[WeighedPosition], after: Iterable[WeighedPosition]
) -> Metadata:
    """The history row, with the weights around it."""
    return {
        **record_figures(record),
        "weights_before": positions_table(before),
        "weights_after": positions_table(after),
    }


def record_figures(record: RebalanceRecord) -> Metadata:
    """The history row alone, for runs over so many portfolios that tables would take more time than the rebalances."""
    metadata: Metadata = {
        "success": record.success,
        "dry_run": record.dry_run,
        "triggered_by": record.triggered_by.value,
        "price_source": source_notice(record.price_source),
        "orders_planned": record.orders_planned,
        "orders_executed": record.orders_executed,
        "orders_failed": record.orders_failed,
        "total_value_traded": figure(record.total_value_traded),
        "fees_paid": figure(record.fees_paid),
        "value_crossed": figure(record.value_crossed),
        "fees_saved": figure(record.fees_saved),
        "duration_ms": record.duration_ms,
        "history_row": str(record.id),
    }
    if record.portfolio_value is not None:
        metadata["portfolio_value"] = figure(record.portfolio_value)
    if record.dagster_run_id:
        metadata["run"] = dg.MetadataValue.dagster_run(record.dagster_run_id)
    if record.errors:
        metadata["errors"] = dg.MetadataValue.json(record.errors)
    return metadata


def bars_metadata(collected: BarCollection) -> Metadata:
    """What was stored of every market, and what is missing."""
    columns = {
        "prices": "price source",
        "market": "",
        "added": "",
        "changed": "the source says otherwise than before",
        "unchanged": "",
        "outranked": "left aside: an origin of a higher rank stands",
    }
    written: dict[str, int] = defaultdict(int)
    for one in collected.stored:
        written[one.price_source] += one.added + one.changed
    return {
        "days": str(collected.span),
        **{f"bars_written_{price_source}": count for price_source, count in sorted(written.items())},
        "markets": _table(columns, ([str(value) for value in astuple(one)] for one in collected.stored)),
        "missing": sum(gap.bars for gap in collected.gaps),
        "gaps": gaps_table(collected.gaps),
        "remarks": dg.MetadataValue.md("\n".join(f"- {short}" for short in collected.shortfalls) or "none"),
    }


def gaps_table(gaps: Sequence[BarGap]) -> dg.TableMetadataValue:
    """The gaps, the longest first; of very many the rest is summed up."""
    columns = {"prices": "price source", "market": "", "from": "UTC", "to": "UTC", "bars": "how many are missing"}
    longest = sorted(gaps, key=lambda gap: (-gap.bars, gap.price_source, gap.symbol, gap.first))
    rows = [
        (gap.price_source, gap.symbol, f"{gap.first:%Y-%m-%d %H:%M}", f"{gap.last:%Y-%m-%d %H:%M}", str(gap.bars))
        for gap in longest[:_MOST_ROWS]
    ]
    left = longest[_MOST_ROWS:]
    if left:
        rows.append(("", f"and {len(left)} shorter ones", "", "", str(sum(gap.bars for gap in left))))
    return _table(columns, rows)


def built_day_metadata(day: BuiltDay) -> Metadata:
    """What valuing one day came to."""
    return {
        "values": day.books,
        "changed": day.changed,
        "without_value": len(day.missing),
        "missing_closes": missing_closes_table(day.missing[:_MOST_ROWS]),
    }


def missing_closes_table(missing: Iterable[MissingCloses]) -> dg.TableMetadataValue:
    """Days of books that have no value, and the closes that they lack."""
    columns = {"day": "UTC", "portfolio": "", "book": "booked, or rehearsed on the recorded market", "no close of": ""}
    rows = ((one.day.isoformat(), one.portfolio, one.basis.value, ", ".join(one.currencies)) for one in missing)
    return _table(columns, rows)
