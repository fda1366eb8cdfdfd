"""Settings from the environment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from rebalancer_pipelines.adapters.embedded.data_directory import default_data_dir
from rebalancer_pipelines.domain.calendar import parse_time_zone
from rebalancer_pipelines.domain.errors import InvalidInputError
from rebalancer_pipelines.domain.notification import NotificationKind
from rebalancer_pipelines.domain.values import parse_whole

_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})
_CRON_FIELDS = 5

_USUALLY_TOLD = frozenset(NotificationKind) - {NotificationKind.REBALANCED}
"""What needs somebody, and the digest; that all went well, the digest says once a day."""
_MOST_DAYS = 3650


class Settings(BaseSettings):
    """What the environment says; an empty variable counts as absent."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    data_dir: Path = Field(default_factory=default_data_dir, validation_alias="REBALANCER_DATA_DIR")
    scheduler_dry_run: str = Field(default="false", validation_alias="SCHEDULER_DRY_RUN")
    scheduler_enabled: str = Field(default="true", validation_alias="SCHEDULER_ENABLED")
    scheduler_auto_start: str = Field(default="true", validation_alias="SCHEDULER_AUTO_START")
    scheduler_check_interval: str = Field(default="0 * * * *", validation_alias="SCHEDULER_CHECK_INTERVAL")
    scheduler_schedules: str = Field(default="500", validation_alias="SCHEDULER_SCHEDULES")
    notify_urls: str = Field(default="", validation_alias="NOTIFY_URLS", repr=False)
    notify_kinds: str | None = Field(default=None, validation_alias="NOTIFY_KINDS")
    notify_time_zone: str = Field(default="UTC", validation_alias="NOTIFY_TIME_ZONE")
    event_log_days: str = Field(default="30", validation_alias="EVENT_LOG_DAYS")

    @property
    def dry_run_only(self) -> bool:
        """Whether nothing is ever to be sent. Raises `InvalidInputError` rather than guess what a word means."""
        return _truth("SCHEDULER_DRY_RUN", self.scheduler_dry_run)

    @property
    def schedules_itself(self) -> bool:
        """The master switch: whether anything runs by itself at all. Raises `InvalidInputError`."""
        return _truth("SCHEDULER_ENABLED", self.scheduler_enabled)

    @property
    def starts_scheduler(self) -> bool:
        """Whether schedules and sensors run from the first start on. Raises `InvalidInputError`."""
        return _truth("SCHEDULER_AUTO_START", self.scheduler_auto_start)

    @property
    def check_cron(self) -> str:
        """When everything that is due is looked for, as five cron fields in UTC. Raises `InvalidInputError`."""
        cron = " ".join(self.scheduler_check_interval.split())
        if cron.count(" ") != _CRON_FIELDS - 1 or not _is_cron(cron):
            raise InvalidInputError(
                "SCHEDULER_CHECK_INTERVAL",
                self.scheduler_check_interval,
                "is not a cron schedule; write five fields such as '0 * * * *' (hourly) or '*/30 * * * *'",
            )
        return cron

    @property
    def most_schedules(self) -> int:
        """So many portfolios have a schedule of their own at most. Raises `InvalidInputError`."""
        return parse_whole(self.scheduler_schedules, field="SCHEDULER_SCHEDULES", least=0, most=5000)

    def check_scheduler(self) -> None:
        """Raise `InvalidInputError` for the first of the SCHEDULER_* variables that cannot be used."""
        _ = self.schedules_itself, self.dry_run_only, self.starts_scheduler, self.check_cron, self.most_schedules

    @property
    def notified(self) -> frozenset[NotificationKind]:
        """What people are told of; nothing without an address. Raises `InvalidInputError` for an unknown kind."""
        if not self.notify_urls.strip():
            return frozenset()
        if self.notify_kinds is None:
            return _USUALLY_TOLD
        words = self.notify_kinds.lower().replace(",", " ").split()
        for word in words:
            if word not in set(NotificationKind):
                choices = ", ".join(NotificationKind)
                raise InvalidInputError("NOTIFY_KINDS", word, f"is unknown; use some of {choices}")
        return frozenset(map(NotificationKind, words))

    @property
    def notified_at_least(self) -> frozenset[NotificationKind]:
        """The same for whoever must not be stopped by a slip in `NOTIFY_KINDS`, a rebalance above all."""
        try:
            return self.notified
        except InvalidInputError:
            return _USUALLY_TOLD

    @property
    def digest_zone(self) -> ZoneInfo:
        """In which the hour of the daily digest is counted. Raises `InvalidInputError` for an unknown one."""
        try:
            return parse_time_zone(self.notify_time_zone)
        except InvalidInputError as error:
            raise InvalidInputError("NOTIFY_TIME_ZONE", error.value, error.remedy) from None

    @property
    def event_log_retention(self) -> timedelta:
        """How long Dagster's runs are kept after their end. Raises `InvalidInputError`."""
        return parse_days(self.event_log_days, field="EVENT_LOG_DAYS")


def parse_days(text: str, *, field: str) -> timedelta:
    """Read a number of days from 1 to 3650. Raises `InvalidInputError` naming `field`."""
    return timedelta(days=parse_whole(text, field=field, least=1, most=_MOST_DAYS))


def _is_cron(line: str) -> bool:
    try:
        CronSim(line, datetime.now(UTC))
    except CronSimError:
        return False
    return True


def _truth(variable: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise InvalidInputError(variable, text, "must be true or false")
    return word in _YES
