"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from rebalancer_pipelines.adapters.embedded.data_directory import default_data_dir


class Settings(BaseSettings):
    """What the environment says; an empty variable counts as absent."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    data_dir: Path = Field(default_factory=default_data_dir, validation_alias="REBALANCER_DATA_DIR")
