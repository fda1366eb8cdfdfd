"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

Before you write this migration:
- The version before this one may still be running: add first, use later, remove in a later release.
- A new column needs a default or must be nullable; a renamed one is a new one, filled, read, and only then dropped.
- Long locks stop rebalances. Build an index on a filled table with postgresql_concurrently=True inside
  op.get_context().autocommit_block(); add a constraint NOT VALID and validate it in a migration of its own.
- Autogenerate sees no CHECK constraints and no triggers: write them by hand, as in the models.
- There is no way down: a mistake is mended by the next migration, and money rows are never thrown away.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
