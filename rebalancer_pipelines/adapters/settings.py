"""Settings from the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from rebalancer_pipelines.adapters.embedded.data_directory import default_data_dir
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.values import parse_whole

_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})
_MOST_DAYS = 3650


class Settings(BaseSettings):
    """What the environment says; an empty variable counts as absent."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    data_dir: Path = Field(default_factory=default_data_dir, validation_alias="REBALANCER_DATA_DIR")
    scheduler_dry_run: str = Field(default="false", validation_alias="SCHEDULER_DRY_RUN")
    event_log_days: str = Field(default="30", validation_alias="EVENT_LOG_DAYS")

    @property
    def dry_run_only(self) -> bool:
        """Whether nothing is ever to be sent. Raises `InvalidInputError` rather than guess what a word means."""
        word = self.scheduler_dry_run.strip().lower()
        if word not in _YES | _NO:
            raise InvalidInputError("SCHEDULER_DRY_RUN", self.scheduler_dry_run, "must be true or false")
        return word in _YES

    @property
    def event_log_retention(self) -> timedelta:
        """How long Dagster's runs are kept after their end. Raises `InvalidInputError`."""
        return parse_days(self.event_log_days, field="EVENT_LOG_DAYS")


def parse_days(text: str, *, field: str) -> timedelta:
    """Read a number of days from 1 to 3650. Raises `InvalidInputError` naming `field`."""
    return timedelta(days=parse_whole(text, field=field, least=1, most=_MOST_DAYS))
