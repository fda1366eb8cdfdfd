"""What automation needs: claims on due times, batches, orders netted over an account, a watch on drift, notifications.

Stop every worker of the version before: it counts an account's active rebalances, of which there may be several now.
No row is rewritten, but five tables are locked against readers while new constraints are checked against them and
indexes are built, which takes about a second per million rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"

_LOCKS = "LOCK TABLE portfolio, rebalance, order_intent, fill, rebalance_history IN ACCESS EXCLUSIVE MODE"
_MOMENT = sa.DateTime(timezone=True)
_STATES = (
    "'PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'CANCELING', 'FILLED', 'PARTIALLY_FILLED', 'CANCELED', 'EXPIRED', "
    "'REJECTED', 'NOT_ACCEPTED', 'NEEDS_REVIEW', 'DENIED', 'VOID', 'NETTED'"
)


def upgrade() -> None:
    op.execute(_LOCKS)
    _portfolios()
    _claims()
    _rebalances()
    _orders()
    _history()
    _drift()
    _notifications()


def _portfolios() -> None:
    op.add_column("portfolio", sa.Column("paused_at", _MOMENT, nullable=True))
    op.add_column("portfolio", sa.Column("paused_reason", sa.Text(), nullable=True))
    op.add_column(
        "portfolio", sa.Column("failures_in_a_row", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_portfolio_paused_with_reason"), "portfolio", "(paused_at IS NULL) = (paused_reason IS NULL)"
    )
    op.create_check_constraint(op.f("ck_portfolio_failures_in_a_row_valid"), "portfolio", "failures_in_a_row >= 0")
    op.drop_index("ix_portfolio_due", table_name="portfolio")
    op.create_index(
        "ix_portfolio_due",
        "portfolio",
        ["next_rebalance_at"],
        unique=False,
        postgresql_where=sa.text("rebalance_enabled AND paused_at IS NULL"),
    )


def _claims() -> None:
    op.create_table(
        "rebalance_batch",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint(
            "triggered_by IN ('scheduler', 'sensor', 'manual', 'api', 'backfill')",
            name=op.f("ck_rebalance_batch_triggered_by_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebalance_batch")),
    )
    op.create_table(
        "rebalance_claim",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("scheduled_for", _MOMENT, nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["rebalance_batch.id"], name=op.f("fk_rebalance_claim_batch_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_rebalance_claim_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "scheduled_for", name=op.f("pk_rebalance_claim")),
    )
    op.create_index(op.f("ix_rebalance_claim_batch_id"), "rebalance_claim", ["batch_id"], unique=False)
    op.create_index(
        "uq_rebalance_claim_open",
        "rebalance_claim",
        ["portfolio_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _rebalances() -> None:
    op.drop_index("uq_rebalance_active", table_name="rebalance")
    op.create_index(
        "uq_rebalance_active",
        "rebalance",
        ["portfolio_id"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_index(
        "ix_rebalance_active_on_account",
        "rebalance",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("status = 'active'"),
    )


def _orders() -> None:
    for column in ("rebalance_id", "portfolio_id"):
        op.alter_column("order_intent", column, nullable=True)
    op.add_column("order_intent", sa.Column("netted_into", sa.Uuid(), nullable=True))
    op.add_column("order_intent", sa.Column("netted_quantity", sa.Numeric(), nullable=True))
    op.create_foreign_key(
        op.f("fk_order_intent_netted_into"),
        "order_intent",
        "order_intent",
        ["netted_into"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_order_intent_netted_into",
        "order_intent",
        ["netted_into"],
        unique=False,
        postgresql_where=sa.text("netted_into IS NOT NULL"),
    )
    op.create_index(
        "ix_order_intent_unsent_net",
        "order_intent",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("rebalance_id IS NULL AND state = 'PLANNED'"),
    )
    op.create_check_constraint(
        op.f("ck_order_intent_owner_is_whole"),
        "order_intent",
        "(rebalance_id IS NULL) = (portfolio_id IS NULL) AND (netted_into IS NULL OR rebalance_id IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_order_intent_netted_quantity_valid"),
        "order_intent",
        "(netted_into IS NULL) = (netted_quantity IS NULL) AND netted_quantity > 0 AND netted_quantity <= quantity",
    )
    op.drop_constraint(op.f("ck_order_intent_state_known"), "order_intent")
    op.create_check_constraint(op.f("ck_order_intent_state_known"), "order_intent", f"state IN ({_STATES})")
    op.drop_constraint(op.f("ck_fill_liquidity_side_known"), "fill")
    op.create_check_constraint(
        op.f("ck_fill_liquidity_side_known"), "fill", "liquidity_side IN ('maker', 'taker', 'internal')"
    )


def _history() -> None:
    for column in ("value_crossed", "fees_saved"):
        op.add_column("rebalance_history", sa.Column(column, sa.Numeric(), server_default=sa.text("0"), nullable=False))
        op.create_check_constraint(
            op.f(f"ck_rebalance_history_{column}_valid"),
            "rebalance_history",
            f"{column} >= 0 AND {column} < 'Infinity'",
        )


def _drift() -> None:
    op.create_table(
        "drift_watch",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_drift_watch_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", name=op.f("pk_drift_watch")),
    )


def _notifications() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("sent_at", _MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", _MOMENT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('rebalanced', 'denied', 'failed', 'frozen', 'paused', 'digest')",
            name=op.f("ck_notification_kind_known"),
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_notification_attempts_valid")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
    )
    op.create_index(
        "ix_notification_waiting",
        "notification",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
