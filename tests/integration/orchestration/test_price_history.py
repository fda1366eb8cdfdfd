"""The assets of bars, run by Dagster over days and ranges of days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.day_span import DaySpan
from rebalancer_pipelines.orchestration.partitions import range_tags
from rebalancer_pipelines.orchestration.resources import Rebalancer
from tests.support.kraken_double import KrakenDouble, Status, kraken_double
from tests.support.stored import Stored

from .conftest import materialized, passed_checks

START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
DAY = timedelta(days=1)
WEEK = DaySpan(date(2026, 2, 22), date(2026, 2, 28))
QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

Collect = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def collect(ready_database: str) -> Iterator[Collect]:
    """Runs the job over a day, or over a range of days in one run."""
    job = build_definitions(Rebalancer(database_url=ready_database)).resolve_job_def("price_history")
    with dg.DagsterInstance.ephemeral() as instance:

        def run(first: str, last: str | None = None, *assets: str) -> dg.ExecuteInProcessResult:
            days: dict[str, Any] = {"tags": {START: first, END: last}} if last else {"partition_key": first}
            selection = [dg.AssetKey(name) for name in assets] or None
            return job.execute_in_process(
                instance=instance, run_config=QUIET, raise_on_error=False, asset_selection=selection, **days
            )

        run.instance = instance  # type: ignore[attr-defined]
        yield run


def bars(stored: Stored) -> dict[tuple[str, str], int]:
    found = stored.rows("SELECT price_source, timeframe, count(*) AS count FROM price_bar GROUP BY 1, 2")
    return {(row["price_source"], row["timeframe"]): row["count"] for row in found}


def hashes(stored: Stored) -> dict[str, Any]:
    return stored.row(
        "SELECT count(*), max(xmin::text::bigint), md5(string_agg(b::text, ',' ORDER BY b)) FROM price_bar b"
    )


def test_one_day_of_the_recording(collect: Collect, stored: Stored) -> None:
    result = collect("2018-10-01")
    assert result.success
    assert bars(stored) == {("recorded", "1d"): 5, ("recorded", "1h"): 120}
    metadata = materialized(result)["daily_bars"]
    assert (metadata["days"], metadata["bars_written_recorded"], metadata["missing"]) == ("2018-10-01", 5, 0)
    assert passed_checks(result) == {"no_gaps": True}


def test_two_years_are_one_run_and_a_second_one_changes_nothing(collect: Collect, stored: Stored) -> None:
    first = collect("2017-10-01", "2019-09-30", "daily_bars")
    assert first.success
    assert bars(stored) == {("recorded", "1d"): 730 * 5}
    made = collect.instance.get_materialized_partitions(dg.AssetKey("daily_bars"))  # type: ignore[attr-defined]
    assert (len(made), min(made), max(made)) == (730, "2017-10-01", "2019-09-30")
    before = hashes(stored)
    second = collect("2017-10-01", "2019-09-30", "daily_bars")
    assert second.success
    assert hashes(stored) == before
    assert materialized(second)["daily_bars"]["bars_written_recorded"] == 0


def test_gaps_are_shown_and_stop_nothing(collect: Collect, stored: Stored) -> None:
    """On 7 January 2019 the recording lacks some hours of every market, and none of the last ones."""
    result = collect("2019-01-07", "2019-01-08")
    assert result.success
    verdicts = {found.asset_key.to_user_string(): found for found in result.get_asset_check_evaluations()}
    assert verdicts["daily_bars"].passed
    hourly = verdicts["hourly_bars"]
    assert (hourly.passed, hourly.severity) == (False, dg.AssetCheckSeverity.WARN)
    gaps = [record.data for record in materialized(result)["hourly_bars"]["gaps"].records]
    assert {
        "prices": "recorded",
        "market": "BTC/EUR",
        "from": "2019-01-07 11:00",
        "to": "2019-01-07 12:00",
        "bars": "2",
    } in gaps
    missing = materialized(result)["hourly_bars"]["missing"]
    assert missing == sum(int(gap["bars"]) for gap in gaps) == 5 * 48 - bars(stored)["recorded", "1h"]


@pytest.fixture
def kraken() -> Iterator[KrakenDouble]:
    with kraken_double() as double:
        yield double


@pytest.fixture
def yesterday() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - DAY


@pytest.fixture
def on_kraken(kraken: KrakenDouble, stored: Stored, yesterday: datetime) -> KrakenDouble:
    """A portfolio of three markets on an account at Kraken, which lists the last 800 days of them."""
    stored.change(
        "INSERT INTO account (name, venue, price_source, endpoint) VALUES ('k', 'kraken', 'live', %s)", kraken.url
    )
    stored.change("INSERT INTO portfolio (name, account_id) SELECT 'core', id FROM account")
    for currency, pair in (("BTC", "BTC/EUR"), ("ETH", "ETH/EUR"), ("SOL", "SOL/EUR")):
        stored.change("INSERT INTO target_weight (portfolio_id, currency) SELECT id, %s FROM portfolio", currency)
        kraken.draw(pair, 1440, yesterday - 799 * DAY, range(1000, 1801))
        kraken.draw(pair, 60, yesterday, range(1000, 1030))
    return kraken


def test_a_range_asks_kraken_once_for_every_market(
    collect: Collect, on_kraken: KrakenDouble, stored: Stored, yesterday: datetime
) -> None:
    result = collect(f"{yesterday - 799 * DAY:%Y-%m-%d}", f"{yesterday:%Y-%m-%d}", "daily_bars")
    assert result.success
    assert on_kraken.count("OHLC") == 3
    assert bars(stored)["live", "1d"] == 719 * 3
    metadata = materialized(result)["daily_bars"]
    assert metadata["missing"] == 81 * 3
    assert (
        "live BTC/EUR, ETH/EUR, SOL/EUR: prices are missing: kraken offers its newest 720 days" in metadata["remarks"]
    )
    assert passed_checks(result) == {"no_gaps": False}


def test_a_night_is_a_day_and_its_hours(
    collect: Collect, on_kraken: KrakenDouble, stored: Stored, yesterday: datetime
) -> None:
    result = collect(f"{yesterday:%Y-%m-%d}")
    assert result.success
    assert bars(stored) == {("live", "1d"): 3, ("live", "1h"): 72}
    assert on_kraken.count("OHLC") == 6


def test_a_market_that_cannot_be_read_fails_the_run_once_the_others_are_stored(
    collect: Collect, on_kraken: KrakenDouble, stored: Stored, yesterday: datetime
) -> None:
    on_kraken.inject("OHLC", Status(502), after=1)
    result = collect(f"{yesterday:%Y-%m-%d}", None, "daily_bars")
    assert not result.success
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    said = failed.step_failure_data.error_display_string
    assert "live ETH/EUR: kraken's bars of ETH/EUR cannot be read: Kraken's gateway answers HTTP 502" in said
    assert bars(stored) == {("live", "1d"): 2}
    assert collect(f"{yesterday:%Y-%m-%d}", None, "daily_bars").success
    assert bars(stored) == {("live", "1d"): 3}


def test_the_schedule_asks_for_the_week_that_has_just_ended() -> None:
    night = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
    repository = build_definitions(Rebalancer(database_url="postgresql://127.0.0.1:1/none")).get_repository_def()
    schedule = repository.get_schedule_def("daily_price_history")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance, repository_def=repository, scheduled_execution_time=night
        ) as context,
    ):
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.job_name is None
    assert {key: request.tags[key] for key in range_tags(WEEK)} == range_tags(WEEK)
    assert (schedule.job_name, schedule.cron_schedule) == ("price_history", "10 0 * * *")
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
