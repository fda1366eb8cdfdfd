"""What the running program goes by: the variables it was started with, which this terminal may not share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from rebalancer_pipelines.adapters.settings import Settings
from rebalancer_pipelines.cli.up import running_pid


@dataclass(frozen=True, slots=True)
class SchedulerVariable:
    """One of the environment's variables that steer what runs by itself."""

    name: str
    default: str
    meaning: str


SCHEDULER_VARIABLES = (
    SchedulerVariable("SCHEDULER_ENABLED", "true", "false: nothing is rebalanced by itself; what a person starts runs"),
    SchedulerVariable("SCHEDULER_DRY_RUN", "false", "true: nothing is ever sent, whatever a run asks for"),
    SchedulerVariable(
        "SCHEDULER_AUTO_START",
        "true",
        "false: schedules and sensors that rebalance wait for 'rebalancer scheduler start'",
    ),
    SchedulerVariable(
        "SCHEDULER_CHECK_INTERVAL", "0 * * * *", "when the due check looks for what no schedule serves: cron, in UTC"
    ),
    SchedulerVariable("SCHEDULER_SCHEDULES", "500", "so many portfolios have a schedule of their own at most"),
)


def scheduler_values(data_dir: Path) -> Mapping[str, str]:
    """The SCHEDULER_* variables of `rebalancer up` where it runs, else of this process, with their defaults."""
    environment = _environment_of_program(data_dir)
    return {one.name: environment.get(one.name) or one.default for one in SCHEDULER_VARIABLES}


def scheduler_settings(data_dir: Path) -> Settings:
    """The same as settings. Raises `InvalidInputError` for a value that cannot be used."""
    settings = Settings.model_validate(scheduler_values(data_dir))
    settings.check_scheduler()
    return settings


def _environment_of_program(data_dir: Path) -> Mapping[str, str]:
    pid = running_pid(data_dir)
    try:
        return psutil.Process(pid).environ() if pid is not None else os.environ
    except psutil.Error:
        return os.environ
