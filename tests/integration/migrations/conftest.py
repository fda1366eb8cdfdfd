"""Empty databases."""

from __future__ import annotations

from tests.support.postgres import database as database  # noqa: PLC0414 - pytest finds fixtures by name
from tests.support.postgres import database_server as database_server  # noqa: PLC0414
