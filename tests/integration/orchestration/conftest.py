"""The Dagster job as it is defined, on an instance that lives as long as one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from rebalancer_pipelines.application.portfolios import create_portfolio
from rebalancer_pipelines.application.ports import Ports
from rebalancer_pipelines.definitions import build_definitions
from rebalancer_pipelines.domain.values import Currency
from rebalancer_pipelines.orchestration.resources import Rebalancer
from rebalancer_pipelines.orchestration.sensors import sync_partitions
from tests.support.paper_account import open_paper_account
from tests.support.stored import MORNING, Stored


class Launcher:
    """Runs the job `rebalance` for a portfolio, to its end."""

    def __init__(self, database_url: str, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._job = build_definitions(Rebalancer(database_url=database_url)).resolve_job_def("rebalance")

    def __call__(self, portfolio: str, **options: Any) -> dg.ExecuteInProcessResult:
        sync_partitions(self.instance, {portfolio, *self.instance.get_dynamic_partitions("portfolio")})
        return self._job.execute_in_process(
            instance=self.instance,
            partition_key=portfolio,
            run_config={
                "ops": {"account_balances": {"config": options}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            raise_on_error=False,
        )


@pytest.fixture
def launch(ready_database: str) -> Iterator[Launcher]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Launcher(ready_database, instance)


Furnish = Callable[..., None]


@pytest.fixture
def furnish(ports: Ports, stored: Stored) -> Furnish:
    """Opens a paper account with one portfolio per name, each with the same money and the same weights."""
    stored.show_recording(MORNING)

    def open_with(*names: str, account: str = "main", weights: str = "BTC=50,ETH=30,EUR=20", money: int = 1000) -> None:
        deposits = {Currency("EUR"): Decimal(money * len(names))} if money else {}
        open_paper_account(ports, deposits, name=account)
        for name in names:
            fields = {"name": name, "account": account, "weights": weights, "interval": "daily", "enabled": True}
            create_portfolio(ports, fields, allocations={Currency("EUR"): Decimal(money)} if money else None)

    return open_with


def passed_checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """What every check of a run said, by its name."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of every asset that a run made, by the asset's name, in their sequence."""
    made = [event.step_materialization_data.materialization for event in _materializations(result)]
    return {m.asset_key.to_user_string(): {key: value.value for key, value in m.metadata.items()} for m in made}


def _materializations(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return result.filter_events(lambda event: event.is_step_materialization)
