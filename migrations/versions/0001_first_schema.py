"""The first schema: accounts, portfolios, rebalances, orders, the ledger, history and the paper venue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None

_APPEND_ONLY = """
CREATE FUNCTION ledger_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    -- A foreign key's own action runs inside a trigger, so it comes in at a depth of 2. Whoever deletes a portfolio or
    -- a fill may take its id from the entries, and nothing else of them; an account goes with its whole ledger.
    IF pg_trigger_depth() > 1 THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        IF TG_OP = 'UPDATE' THEN
            OLD.portfolio_id := CASE WHEN NEW.portfolio_id IS NOT NULL THEN OLD.portfolio_id END;
            OLD.fill_id := CASE WHEN NEW.fill_id IS NOT NULL THEN OLD.fill_id END;
            IF OLD IS NOT DISTINCT FROM NEW THEN
                RETURN NEW;
            END IF;
        END IF;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: book a correcting entry instead' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER ledger_entry_is_append_only BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_append_only();
CREATE TRIGGER ledger_entry_is_never_emptied BEFORE TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_is_append_only();
"""

_NO_OVERFILL = """
CREATE FUNCTION fills_stay_within_the_order() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE ordered numeric;
BEGIN
    -- The lock makes two writers of one order's fills see each other. A stronger one would deadlock: both hold the
    -- key of the order already, since their fills refer to it.
    SELECT quantity INTO ordered FROM order_intent WHERE id = NEW.order_intent_id FOR NO KEY UPDATE;
    IF (SELECT sum(quantity) FROM fill WHERE order_intent_id = NEW.order_intent_id) > ordered THEN
        RAISE EXCEPTION 'the fills of order % exceed its quantity %', NEW.order_intent_id, ordered
            USING ERRCODE = 'check_violation', CONSTRAINT = 'fills_stay_within_the_order';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fills_stay_within_the_order AFTER INSERT OR UPDATE ON fill
    FOR EACH ROW EXECUTE FUNCTION fills_stay_within_the_order();
"""


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("price_source", sa.Text(), nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("trading_state", sa.Text(), server_default="active", nullable=False),
        sa.Column("trading_state_reason", sa.Text(), nullable=True),
        sa.Column("lease_epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "trading_state IN ('active', 'reducing', 'halted')", name=op.f("ck_account_trading_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.create_table(
        "activity_log",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_log")),
    )
    op.create_index(op.f("ix_activity_log_occurred_at"), "activity_log", ["occurred_at"], unique=False)
    op.create_table(
        "recorded_clock",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("speed", sa.Numeric(), nullable=False),
        sa.CheckConstraint("speed > 0 AND speed < 'Infinity'", name=op.f("ck_recorded_clock_speed_valid")),
        sa.CheckConstraint("only_row", name=op.f("ck_recorded_clock_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_recorded_clock")),
    )
    op.create_table(
        "paper_balance",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("locked", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("total >= 0 AND total < 'Infinity'", name=op.f("ck_paper_balance_total_valid")),
        sa.CheckConstraint("locked >= 0 AND locked <= total", name=op.f("ck_paper_balance_locked_valid")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_paper_balance_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "currency", name=op.f("pk_paper_balance")),
    )
    op.create_table(
        "paper_order",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base_currency", sa.Text(), nullable=False),
        sa.Column("quote_currency", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("limit_price", sa.Numeric(), nullable=False),
        sa.Column("filled_quantity", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "limit_price > 0 AND limit_price < 'Infinity'", name=op.f("ck_paper_order_limit_price_valid")
        ),
        sa.CheckConstraint("quantity > 0 AND quantity < 'Infinity'", name=op.f("ck_paper_order_quantity_valid")),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_paper_order_side_known")),
        sa.CheckConstraint(
            "status IN ('open', 'closed', 'canceled', 'expired')", name=op.f("ck_paper_order_status_known")
        ),
        sa.CheckConstraint(
            "filled_quantity >= 0 AND filled_quantity <= quantity", name=op.f("ck_paper_order_filled_quantity_valid")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_paper_order_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_order")),
    )
    op.create_index("ix_paper_order_client", "paper_order", ["account_id", "client_order_id"], unique=False)
    op.create_index(
        "uq_paper_order_open",
        "paper_order",
        ["account_id", "client_order_id"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "portfolio",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("valuation_currency", sa.Text(), server_default="EUR", nullable=False),
        sa.Column("rebalance_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("rebalance_interval", sa.Text(), server_default="weekly", nullable=False),
        sa.Column("rebalance_threshold", sa.Numeric(), server_default=sa.text("10"), nullable=False),
        sa.Column("drift_band", sa.Numeric(), nullable=True),
        sa.Column("drift_band_kind", sa.Text(), server_default="absolute", nullable=False),
        sa.Column("max_orders_per_rebalance", sa.Integer(), nullable=True),
        sa.Column("cash_reserve", sa.Numeric(), server_default=sa.text("0.01"), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("anchor_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_rebalanced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_rebalance_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "drift_band_kind IN ('absolute', 'relative')", name=op.f("ck_portfolio_drift_band_kind_known")
        ),
        sa.CheckConstraint(
            "rebalance_interval IN ('hourly', 'daily', 'weekly', 'monthly')",
            name=op.f("ck_portfolio_rebalance_interval_known"),
        ),
        sa.CheckConstraint(
            "rebalance_threshold > 0 AND rebalance_threshold < 'Infinity'",
            name=op.f("ck_portfolio_rebalance_threshold_valid"),
        ),
        sa.CheckConstraint("cash_reserve >= 0 AND cash_reserve < 1", name=op.f("ck_portfolio_cash_reserve_valid")),
        sa.CheckConstraint("drift_band > 0 AND drift_band <= 100", name=op.f("ck_portfolio_drift_band_valid")),
        sa.CheckConstraint("max_orders_per_rebalance >= 1", name=op.f("ck_portfolio_max_orders_per_rebalance_valid")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_portfolio_account_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portfolio")),
        sa.UniqueConstraint("name", name=op.f("uq_portfolio_name")),
    )
    op.create_index(op.f("ix_portfolio_account_id"), "portfolio", ["account_id"], unique=False)
    op.create_index(
        "ix_portfolio_due",
        "portfolio",
        ["next_rebalance_at"],
        unique=False,
        postgresql_where=sa.text("rebalance_enabled"),
    )
    op.create_table(
        "paper_trade",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("fee", sa.Numeric(), nullable=False),
        sa.Column("fee_currency", sa.Text(), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("fee > '-Infinity' AND fee < 'Infinity'", name=op.f("ck_paper_trade_fee_valid")),
        sa.CheckConstraint("price > 0 AND price < 'Infinity'", name=op.f("ck_paper_trade_price_valid")),
        sa.CheckConstraint("quantity > 0 AND quantity < 'Infinity'", name=op.f("ck_paper_trade_quantity_valid")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["paper_order.id"], name=op.f("fk_paper_trade_order_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_trade")),
        sa.UniqueConstraint("trade_id", name=op.f("uq_paper_trade_trade_id")),
    )
    op.create_index(op.f("ix_paper_trade_order_id"), "paper_trade", ["order_id"], unique=False)
    op.create_table(
        "rebalance",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("dagster_run_id", sa.Text(), nullable=False),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("portfolio_value", sa.Numeric(), nullable=True),
        sa.Column("plan", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("plan_hash", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('active', 'finished')", name=op.f("ck_rebalance_status_known")),
        sa.CheckConstraint(
            "(status = 'finished') = (finished_at IS NOT NULL)", name=op.f("ck_rebalance_finished_at_matches_status")
        ),
        sa.CheckConstraint("(plan IS NULL) = (plan_hash IS NULL)", name=op.f("ck_rebalance_plan_has_its_hash")),
        sa.CheckConstraint(
            "triggered_by IN ('scheduler', 'sensor', 'manual', 'api', 'backfill')",
            name=op.f("ck_rebalance_triggered_by_known"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_rebalance_account_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_rebalance_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebalance")),
        sa.UniqueConstraint("dagster_run_id", "portfolio_id", name=op.f("uq_rebalance_dagster_run_id_portfolio_id")),
    )
    op.create_index(op.f("ix_rebalance_portfolio_id"), "rebalance", ["portfolio_id"], unique=False)
    op.create_index(
        "uq_rebalance_active", "rebalance", ["account_id"], unique=True, postgresql_where=sa.text("status = 'active'")
    )
    op.create_index(
        "uq_rebalance_claim",
        "rebalance",
        ["portfolio_id", "scheduled_for"],
        unique=True,
        postgresql_where=sa.text("scheduled_for IS NOT NULL"),
    )
    op.create_table(
        "rebalance_history",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scheduled_for", sa.DateTime(timezone=True), nullable=True),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("portfolio_value", sa.Numeric(), nullable=True),
        sa.Column("orders_planned", sa.Integer(), nullable=False),
        sa.Column("orders_executed", sa.Integer(), nullable=False),
        sa.Column("orders_failed", sa.Integer(), nullable=False),
        sa.Column("total_value_traded", sa.Numeric(), nullable=False),
        sa.Column("fees_paid", sa.Numeric(), nullable=False),
        sa.Column("orders", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("errors", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("price_source", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=True),
        sa.Column("dagster_run_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "total_value_traded >= 0 AND total_value_traded < 'Infinity'",
            name=op.f("ck_rebalance_history_total_value_traded_valid"),
        ),
        sa.CheckConstraint(
            "triggered_by IN ('scheduler', 'sensor', 'manual', 'api', 'backfill')",
            name=op.f("ck_rebalance_history_triggered_by_known"),
        ),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_rebalance_history_duration_ms_valid")),
        sa.CheckConstraint(
            "fees_paid > '-Infinity' AND fees_paid < 'Infinity'", name=op.f("ck_rebalance_history_fees_paid_valid")
        ),
        sa.CheckConstraint(
            "portfolio_value > '-Infinity' AND portfolio_value < 'Infinity'",
            name=op.f("ck_rebalance_history_portfolio_value_valid"),
        ),
        sa.CheckConstraint(
            "orders_planned >= 0 AND orders_executed >= 0 AND orders_failed >= 0",
            name=op.f("ck_rebalance_history_order_counts_valid"),
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_rebalance_history_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebalance_history")),
    )
    op.create_index(
        "ix_rebalance_history_newest", "rebalance_history", [sa.literal_column("executed_at DESC")], unique=False
    )
    op.create_index(
        "ix_rebalance_history_of_portfolio",
        "rebalance_history",
        ["portfolio_id", sa.literal_column("executed_at DESC")],
        unique=False,
    )
    op.create_table(
        "target_weight",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("weight", sa.Numeric(), nullable=True),
        sa.CheckConstraint("weight >= 0 AND weight <= 100", name=op.f("ck_target_weight_weight_valid")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_target_weight_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "currency", name=op.f("pk_target_weight")),
    )
    op.create_table(
        "account_balance",
        sa.Column("rebalance_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("free", sa.Numeric(), nullable=False),
        sa.CheckConstraint("total >= 0 AND total < 'Infinity'", name=op.f("ck_account_balance_total_valid")),
        sa.CheckConstraint("free >= 0 AND free <= total", name=op.f("ck_account_balance_free_valid")),
        sa.ForeignKeyConstraint(
            ["rebalance_id"], ["rebalance.id"], name=op.f("fk_account_balance_rebalance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rebalance_id", "currency", name=op.f("pk_account_balance")),
    )
    op.create_table(
        "order_intent",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("rebalance_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base_currency", sa.Text(), nullable=False),
        sa.Column("quote_currency", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("limit_price", sa.Numeric(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("venue_order_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "limit_price > 0 AND limit_price < 'Infinity'", name=op.f("ck_order_intent_limit_price_valid")
        ),
        sa.CheckConstraint("price > 0 AND price < 'Infinity'", name=op.f("ck_order_intent_price_valid")),
        sa.CheckConstraint("quantity > 0 AND quantity < 'Infinity'", name=op.f("ck_order_intent_quantity_valid")),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_order_intent_sequence_valid")),
        sa.CheckConstraint("side IN ('buy', 'sell')", name=op.f("ck_order_intent_side_known")),
        sa.CheckConstraint(
            "state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'CANCELING', 'FILLED', 'PARTIALLY_FILLED', 'CANCELED', "
            "'EXPIRED', 'REJECTED', 'NOT_ACCEPTED', 'NEEDS_REVIEW', 'DENIED', 'VOID')",
            name=op.f("ck_order_intent_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_order_intent_account_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_order_intent_portfolio_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["rebalance_id"], ["rebalance.id"], name=op.f("fk_order_intent_rebalance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_intent")),
        sa.UniqueConstraint("client_order_id", name=op.f("uq_order_intent_client_order_id")),
        sa.UniqueConstraint("rebalance_id", "sequence", name=op.f("uq_order_intent_rebalance_id_sequence")),
    )
    op.create_index(
        "ix_order_intent_at_venue",
        "order_intent",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text(
            "state IN ('SENDING', 'UNKNOWN', 'OPEN', 'CANCELING', 'NEEDS_REVIEW') AND NOT dry_run"
        ),
    )
    op.create_index(op.f("ix_order_intent_portfolio_id"), "order_intent", ["portfolio_id"], unique=False)
    op.create_index(
        "uq_order_intent_venue_order",
        "order_intent",
        ["account_id", "venue_order_id"],
        unique=True,
        postgresql_where=sa.text("venue_order_id IS NOT NULL"),
    )
    op.create_table(
        "portfolio_position",
        sa.Column("rebalance_id", sa.Uuid(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("free", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("weight", sa.Numeric(), nullable=False),
        sa.Column("target", sa.Numeric(), nullable=False),
        sa.CheckConstraint("phase IN ('before', 'after')", name=op.f("ck_portfolio_position_phase_known")),
        sa.ForeignKeyConstraint(
            ["rebalance_id"], ["rebalance.id"], name=op.f("fk_portfolio_position_rebalance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rebalance_id", "phase", "currency", name=op.f("pk_portfolio_position")),
    )
    op.create_table(
        "price_mark",
        sa.Column("rebalance_id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("bid", sa.Numeric(), nullable=False),
        sa.Column("ask", sa.Numeric(), nullable=False),
        sa.Column("mid", sa.Numeric(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("ask > 0 AND ask < 'Infinity'", name=op.f("ck_price_mark_ask_valid")),
        sa.CheckConstraint("bid > 0 AND bid <= ask", name=op.f("ck_price_mark_bid_valid")),
        sa.CheckConstraint("mid >= bid AND mid <= ask", name=op.f("ck_price_mark_mid_valid")),
        sa.ForeignKeyConstraint(
            ["rebalance_id"], ["rebalance.id"], name=op.f("fk_price_mark_rebalance_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rebalance_id", "symbol", name=op.f("pk_price_mark")),
    )
    op.create_table(
        "fill",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("order_intent_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("fee", sa.Numeric(), nullable=False),
        sa.Column("fee_currency", sa.Text(), nullable=False),
        sa.Column("liquidity_side", sa.Text(), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("fee > '-Infinity' AND fee < 'Infinity'", name=op.f("ck_fill_fee_valid")),
        sa.CheckConstraint("liquidity_side IN ('maker', 'taker')", name=op.f("ck_fill_liquidity_side_known")),
        sa.CheckConstraint("price > 0 AND price < 'Infinity'", name=op.f("ck_fill_price_valid")),
        sa.CheckConstraint("quantity > 0 AND quantity < 'Infinity'", name=op.f("ck_fill_quantity_valid")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_fill_account_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["order_intent_id"], ["order_intent.id"], name=op.f("fk_fill_order_intent_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fill")),
        sa.UniqueConstraint("account_id", "trade_id", name=op.f("uq_fill_account_id_trade_id")),
    )
    op.create_index(op.f("ix_fill_order_intent_id"), "fill", ["order_intent_id"], unique=False)
    op.create_table(
        "ledger_entry",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fill_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "amount <> 0 AND amount > '-Infinity' AND amount < 'Infinity'", name=op.f("ck_ledger_entry_amount_valid")
        ),
        sa.CheckConstraint(
            "kind IN ('deposit', 'withdrawal', 'fill', 'fee', 'transfer', 'adjustment')",
            name=op.f("ck_ledger_entry_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_ledger_entry_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["fill_id"], ["fill.id"], name=op.f("fk_ledger_entry_fill_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_ledger_entry_portfolio_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entry")),
    )
    op.create_index(
        "ix_ledger_entry_book",
        "ledger_entry",
        ["account_id", "portfolio_id", "currency"],
        unique=False,
        postgresql_include=["amount"],
    )
    op.create_index(op.f("ix_ledger_entry_portfolio_id"), "ledger_entry", ["portfolio_id"], unique=False)
    op.create_index(
        "uq_ledger_entry_fill",
        "ledger_entry",
        ["fill_id", "kind", "currency"],
        unique=True,
        postgresql_where=sa.text("fill_id IS NOT NULL"),
    )
    op.execute(_APPEND_ONLY)
    op.execute(_NO_OVERFILL)
