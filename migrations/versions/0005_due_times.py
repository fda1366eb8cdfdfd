"""Due times stand in a narrow table of their own, with the claim that is open on each.

A claim touches one short row of two small indexes, instead of moving a wide portfolio in four and adding two rows of
five; what is due is found without looking through what is taken up. Claims that have ended are not kept: the history
has them, and `rebalance` keeps any due time from being rebalanced twice.

Stop every worker of the version before, which looks for due times where they are no more. `portfolio` is locked while
its due times are copied, which takes a few seconds per million rows; no row of it is rewritten.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"

_MOMENT = sa.DateTime(timezone=True)

_MOVE = """
INSERT INTO portfolio_due (
    portfolio_id, is_scheduled, next_rebalance_at, batch_id, triggered_by, scheduled_for, claimed_at
)
SELECT
    portfolio.id, portfolio.rebalance_enabled AND portfolio.paused_at IS NULL, portfolio.next_rebalance_at,
    batch.id, batch.triggered_by, claim.scheduled_for, batch.created_at
FROM portfolio
LEFT JOIN rebalance_claim AS claim ON claim.portfolio_id = portfolio.id AND claim.finished_at IS NULL
LEFT JOIN rebalance_batch AS batch ON batch.id = claim.batch_id
"""

# Also for whoever enables or adds a portfolio in the database itself.
_FOLLOW = """
CREATE FUNCTION portfolio_due_follows() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO portfolio_due (portfolio_id, is_scheduled, next_rebalance_at)
        SELECT id, rebalance_enabled AND paused_at IS NULL, CASE WHEN rebalance_enabled THEN anchor_at END FROM added;
        RETURN NULL;
    END IF;
    UPDATE portfolio_due SET
        is_scheduled = NEW.rebalance_enabled AND NEW.paused_at IS NULL,
        next_rebalance_at = CASE
            WHEN NEW.rebalance_enabled THEN coalesce(next_rebalance_at, NEW.anchor_at) ELSE next_rebalance_at
        END
    WHERE portfolio_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER portfolio_due_follows AFTER INSERT ON portfolio REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION portfolio_due_follows();
CREATE TRIGGER portfolio_due_follows_changes AFTER UPDATE OF rebalance_enabled, paused_at ON portfolio
    FOR EACH ROW WHEN (
        OLD.rebalance_enabled <> NEW.rebalance_enabled OR (OLD.paused_at IS NULL) <> (NEW.paused_at IS NULL)
    )
    EXECUTE FUNCTION portfolio_due_follows();
"""


def upgrade() -> None:
    op.execute("LOCK TABLE portfolio, rebalance_claim, rebalance_batch IN ACCESS EXCLUSIVE MODE")
    op.create_table(
        "portfolio_due",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("is_scheduled", sa.Boolean(), nullable=False),
        sa.Column("next_rebalance_at", _MOMENT, nullable=True),
        sa.Column("batch_id", sa.Uuid(), nullable=True),
        sa.Column("triggered_by", sa.Text(), nullable=True),
        sa.Column("scheduled_for", _MOMENT, nullable=True),
        sa.Column("claimed_at", _MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "num_nulls(batch_id, triggered_by, scheduled_for, claimed_at) IN (0, 4)",
            name=op.f("ck_portfolio_due_claim_is_whole"),
        ),
        sa.CheckConstraint(
            "triggered_by IN ('scheduler', 'sensor', 'manual', 'api', 'backfill')",
            name=op.f("ck_portfolio_due_triggered_by_known"),
        ),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_portfolio_due_tries_valid")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_portfolio_due_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", name=op.f("pk_portfolio_due")),
        # Every claim and every rebalance leaves a dead row, at best on the page of the live one.
        postgresql_with={"fillfactor": 75, "autovacuum_vacuum_scale_factor": 0.02},
    )
    op.execute(_MOVE)
    op.create_index(
        "ix_portfolio_due_free",
        "portfolio_due",
        ["next_rebalance_at"],
        unique=False,
        postgresql_where=sa.text("is_scheduled AND batch_id IS NULL"),
    )
    op.create_index(
        op.f("ix_portfolio_due_batch_id"),
        "portfolio_due",
        ["batch_id"],
        unique=False,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.drop_table("rebalance_claim")
    op.drop_table("rebalance_batch")
    op.drop_index("ix_portfolio_due", table_name="portfolio")
    op.drop_column("portfolio", "next_rebalance_at")
    # What a rebalance changes of a portfolio is in no index: with room on the page, none has to be touched.
    op.execute("ALTER TABLE portfolio SET (fillfactor = 85)")
    op.execute(_FOLLOW)
