"""The database, as dbt must be told it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import make_url

from rebalancer_pipelines.adapters.postgres.database import ping
from rebalancer_pipelines.domain.errors import InvalidInputError

_PREFIX = "REBALANCER_DATABASE"
_PASSWORD = f"DBT_ENV_SECRET_{_PREFIX}_PASSWORD"
"""By its prefix dbt knows that it is to stay out of logs and files."""

NO_DATABASE = "__no_database__"
NOWHERE = {f"{_PREFIX}_HOST": "nowhere", f"{_PREFIX}_USER": "nobody", f"{_PREFIX}_NAME": NO_DATABASE}
"""Enough for what dbt does without a database."""


def database_of(connection: Mapping[str, str]) -> str:
    """The name of the database that these variables lead to."""
    return connection[f"{_PREFIX}_NAME"]


def connection_variables(database_url: str | None) -> dict[str, str]:
    """The variables that `profiles.yml` reads; one of them is the password.

    Raises `DatabaseUnavailableError` when the database does not answer, `InvalidInputError` when none is named.
    """
    if not database_url:
        raise InvalidInputError(
            "DATABASE_URL", None, "is needed: the marts stand in a database; run 'rebalancer analytics build' instead"
        )
    ping(database_url)
    url = make_url(database_url)
    sslmode, host = url.query.get("sslmode"), url.query.get("host")
    return {
        f"{_PREFIX}_HOST": url.host or (host if isinstance(host, str) else "localhost"),
        f"{_PREFIX}_PORT": str(url.port or 5432),
        f"{_PREFIX}_USER": url.username or "",
        _PASSWORD: str(url.password or ""),
        f"{_PREFIX}_NAME": url.database or "",
        f"{_PREFIX}_SSLMODE": sslmode if isinstance(sslmode, str) else "prefer",
    }
