"""Asset checks: what must hold at each step, as people see it in the UI.

Here: the checks' names and descriptions, and how a verdict of a use case becomes a result. Not here: the verdicts; the
domain reaches them, and a use case has already closed a refused rebalance when its check fails here.
"""

import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal

import dagster as dg

from rebalancer_pipelines.application.price_history.collect import BarCollection
from rebalancer_pipelines.application.rebalance.execute import ExecutedOrders
from rebalancer_pipelines.domain.daily_value import MissingCloses
from rebalancer_pipelines.domain.errors import DenialReason, DeniedError
from rebalancer_pipelines.domain.order import OrderState
from rebalancer_pipelines.domain.rebalance import RebalanceRecord
from rebalancer_pipelines.domain.values import Currency, plain
from rebalancer_pipelines.orchestration.metadata import gaps_table, missing_closes_table
from rebalancer_pipelines.orchestration.partitions import PORTFOLIOS


def _spec(name: str, asset: str, description: str, *, blocking: bool) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13, and the only way to see a verdict per portfolio.
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, description=description, blocking=blocking, partitions_def=PORTFOLIOS
        )


LEDGER_EQUALS_VENUE = _spec(
    "ledger_equals_venue_balances",
    "account_balances",
    "The books of all portfolios on the account add up to what the venue holds, to the last digit.",
    blocking=True,
)
PRICES_ARE_SOUND = _spec(
    "prices_are_fresh_and_positive",
    "market_prices",
    "Every market has a price that is fresh, positive, not crossed and not too wide.",
    blocking=True,
)
WEIGHTS_SUM_TO_100 = _spec(
    "weights_sum_to_100",
    "portfolio_value",
    "There is value to divide, it has not fallen too far within a day, and the weights sum to 100 % within 0.01.",
    blocking=True,
)
PLAN_CONSERVES_VALUE = _spec(
    "plan_conserves_value",
    "planned_orders",
    "Value before = value after + cost of the plan, to the last digit.",
    blocking=True,
)
PLAN_WITHIN_LIMITS = _spec(
    "plan_within_limits",
    "planned_orders",
    "A live run keeps every limit of its account: turnover, size of orders, orders a run and a day, cash reserve.",
    blocking=True,
)
EXECUTED_MATCHES_PLANNED = _spec(
    "executed_matches_planned",
    "executed_orders",
    "Every planned order was filled in full.",
    blocking=False,
)
LEDGER_EQUALS_VENUE_AFTER = _spec(
    "ledger_equals_venue_balances_after",
    "executed_orders",
    "After the fills were booked, the books still add up to what the venue holds.",
    blocking=False,
)
DRIFT_NOT_INCREASED = _spec(
    "drift_after_not_above_drift_before",
    "rebalance_history",
    "The portfolio ends no further from its targets than it began, costs aside.",
    blocking=False,
)
REBALANCE_SUCCEEDED = _spec(
    "rebalance_succeeded",
    "rebalance_history",
    "The rebalance went through without an error; the row is written either way.",
    blocking=True,
)

EVERY_DAY_HAS_A_VALUE = dg.AssetCheckSpec(
    "every_day_has_a_value",
    asset="daily_portfolio_value",
    description="Every day of every book that was ever valued has a close of all that it held; none is made up.",
    blocking=False,
)


def every_day_has_a_value(lacking: int, newest: Sequence[MissingCloses]) -> dg.AssetCheckResult:
    """Whether values are missing for want of closes, and where."""
    return dg.AssetCheckResult(
        passed=not lacking,
        asset_key=EVERY_DAY_HAS_A_VALUE.asset_key,
        check_name=EVERY_DAY_HAS_A_VALUE.name,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{lacking} values are missing; collect or import the closes of these days" if lacking else None,
        metadata={"missing": lacking, "newest": missing_closes_table(newest)},
    )


def no_gaps_spec(asset: str) -> dg.AssetCheckSpec:
    """The check on gaps of an asset of bars. Its verdict is on all days of a run, which may be many."""
    return dg.AssetCheckSpec(
        "no_gaps",
        asset=asset,
        description="Every market that portfolios need, and every recorded one, has all its bars; no gap is filled.",
        blocking=False,
    )


def no_gaps(spec: dg.AssetCheckSpec, collected: BarCollection) -> dg.AssetCheckResult:
    """Whether bars are missing, where and why."""
    missing = sum(gap.bars for gap in collected.gaps)
    reasons = "; ".join(map(str, collected.shortfalls))
    return dg.AssetCheckResult(
        passed=not missing,
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{missing} bars are missing: {reasons}" if missing else None,
        metadata={"missing": missing, "gaps": gaps_table(collected.gaps)},
    )


def gate(spec: dg.AssetCheckSpec, denial: DeniedError | None) -> dg.AssetCheckResult:
    """The result of a check that a use case has decided."""
    return dg.AssetCheckResult(
        passed=denial is None,
        asset_key=spec.asset_key,
        check_name=spec.name,
        description=str(denial) if denial else None,
        metadata={"denied": denial.reason.value} if denial else None,
    )


def plan_gates(denial: DeniedError | None) -> list[dg.AssetCheckResult]:
    """The results of both checks of a plan: one denial fails the check that it is about."""
    unsound = denial if denial and denial.reason is DenialReason.PLAN_UNSOUND else None
    over_limit = denial if denial is not unsound else None
    return [gate(PLAN_CONSERVES_VALUE, unsound), gate(PLAN_WITHIN_LIMITS, over_limit)]


def executed_matches_planned(executed: ExecutedOrders) -> dg.AssetCheckResult:
    """Whether every order filled, and which did not."""
    unfilled = [o for o in executed.orders if o.state is not OrderState.FILLED]
    told = "; ".join(f"{o.side.value} {o.symbol} {o.state.value}: {o.reason or '-'}" for o in unfilled)
    return dg.AssetCheckResult(
        passed=not unfilled,
        asset_key=EXECUTED_MATCHES_PLANNED.asset_key,
        check_name=EXECUTED_MATCHES_PLANNED.name,
        description=told or None,
        metadata={"planned": len(executed.orders), "filled": len(executed.orders) - len(unfilled)},
    )


def ledger_equals_venue_after(differences: Mapping[Currency, Decimal]) -> dg.AssetCheckResult:
    """Whether books and venue agree after the fills."""
    return dg.AssetCheckResult(
        passed=not differences,
        asset_key=LEDGER_EQUALS_VENUE_AFTER.asset_key,
        check_name=LEDGER_EQUALS_VENUE_AFTER.name,
        metadata={currency: plain(amount) for currency, amount in differences.items()},
    )


def drift_not_increased(before: Decimal, after: Decimal, allowance: Decimal) -> dg.AssetCheckResult:
    """Whether the distance from the targets shrank; all three in percentage points."""
    return dg.AssetCheckResult(
        passed=after <= before + allowance,
        asset_key=DRIFT_NOT_INCREASED.asset_key,
        check_name=DRIFT_NOT_INCREASED.name,
        metadata={
            "distance_before_points": plain(before),
            "distance_after_points": plain(after),
            "allowed_for_costs_points": plain(allowance),
        },
    )


def rebalance_succeeded(record: RebalanceRecord) -> dg.AssetCheckResult:
    """Whether the attempt counts as a success."""
    errors = record.errors or []
    return dg.AssetCheckResult(
        passed=record.success,
        asset_key=REBALANCE_SUCCEEDED.asset_key,
        check_name=REBALANCE_SUCCEEDED.name,
        description="; ".join(f"{e['code']}: {e['message']}" for e in errors) or None,
    )


def evaluation(result: dg.AssetCheckResult, partition: str) -> dg.AssetCheckEvaluation:
    """A verdict on one partition, for a run that has many."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_coercible(result.asset_key or ()),
        check_name=result.check_name or "",
        passed=result.passed,
        metadata=result.metadata or {},
        severity=result.severity,
        description=result.description,
        partition=partition,
    )
