"""What historical analytics need: price bars, what portfolios were worth day by day, one view of every book, and what
has changed in the history since the marts were built.

Beside new tables and a view, what many orders at once wait for becomes cheaper: fills are held against their orders
once per statement, and the index of orders by time holds only those that may have been sent. No row is rewritten; the
index on `rebalance` holds backfilled rows alone, of which there are none yet. While indexes are built, orders and fills
are locked against readers too and `rebalance_history` against writers, which takes about a second per million rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"

_MOMENT = sa.DateTime(timezone=True)

_BOOK_ENTRY = """
CREATE VIEW book_entry AS
SELECT portfolio_id, 'booked' AS basis, kind, currency, amount, occurred_at, fill_id
FROM ledger_entry
WHERE portfolio_id IS NOT NULL
UNION ALL
SELECT portfolio_id, 'rehearsed', 'deposit', currency, amount, occurred_at, NULL
FROM rehearsed_deposit
UNION ALL
SELECT rebalance.portfolio_id, 'rehearsed', leg.kind, leg.currency, leg.amount, fill.executed_at, fill.id
FROM rebalance
JOIN order_intent ON order_intent.rebalance_id = rebalance.id
JOIN fill ON fill.order_intent_id = order_intent.id
CROSS JOIN LATERAL (
    VALUES
        ('fill', order_intent.base_currency, CASE order_intent.side WHEN 'buy' THEN 1 ELSE -1 END * fill.quantity),
        ('fill', order_intent.quote_currency, CASE order_intent.side WHEN 'buy' THEN -1 ELSE 1 END * fill.notional),
        ('fee', fill.fee_currency, -fill.fee)
) AS leg (kind, currency, amount)
WHERE rebalance.triggered_by = 'backfill' AND rebalance.dry_run AND leg.amount <> 0
"""

_NO_OVERFILL = """
CREATE OR REPLACE FUNCTION fills_stay_within_the_order() RETURNS trigger LANGUAGE plpgsql SET search_path = public
    -- A plan that was made for many rows on small tables would be kept for few on large ones: always by the indexes.
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE overfilled record;
BEGIN
    -- The locks make two writers of one order's fills see each other, and their sequence keeps two of several orders
    -- from waiting for each other. Stronger ones would deadlock: both hold the keys of the orders already, since their
    -- fills refer to them.
    PERFORM FROM order_intent WHERE id IN (SELECT order_intent_id FROM written) ORDER BY id FOR NO KEY UPDATE;
    SELECT order_intent.id, order_intent.quantity INTO overfilled
        FROM order_intent
        WHERE order_intent.id IN (SELECT order_intent_id FROM written)
            AND (SELECT sum(fill.quantity) FROM fill WHERE fill.order_intent_id = order_intent.id)
                > order_intent.quantity
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the fills of order % exceed its quantity %', overfilled.id, overfilled.quantity
            USING ERRCODE = 'check_violation', CONSTRAINT = 'fills_stay_within_the_order';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER fills_stay_within_the_order ON fill;
CREATE TRIGGER fills_stay_within_the_order AFTER INSERT ON fill REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION fills_stay_within_the_order();
CREATE TRIGGER fills_stay_within_the_order_when_changed AFTER UPDATE ON fill REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION fills_stay_within_the_order();
"""

# Rows that come are found by `stored_at`, so that writing one costs no more than its place in an index; what goes or
# becomes another is rare and noted by its day.
_CHANGES = """
CREATE FUNCTION note_changed_rebalances() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO history_change (subject, portfolio_id, day)
        SELECT DISTINCT 'rebalances', portfolio_id, (executed_at AT TIME ZONE 'UTC')::date FROM old_rows;
    ELSE
        INSERT INTO history_change (subject, portfolio_id, day)
        SELECT DISTINCT 'rebalances', portfolio_id, (executed_at AT TIME ZONE 'UTC')::date
        FROM (TABLE old_rows UNION ALL TABLE new_rows) AS changed;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note_deleted_rebalances AFTER DELETE ON rebalance_history
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_changed_rebalances();
CREATE TRIGGER note_changed_rebalances AFTER UPDATE ON rebalance_history
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_changed_rebalances();

CREATE FUNCTION note_another_valuation_currency() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    INSERT INTO history_change (subject, portfolio_id, day)
    SELECT DISTINCT 'rebalances', portfolio_id, (executed_at AT TIME ZONE 'UTC')::date
    FROM rebalance_history WHERE portfolio_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER note_another_valuation_currency AFTER UPDATE OF valuation_currency ON portfolio
    FOR EACH ROW WHEN (OLD.valuation_currency <> NEW.valuation_currency)
    EXECUTE FUNCTION note_another_valuation_currency();

CREATE FUNCTION note_changed_days() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO history_change (subject, portfolio_id, basis, day)
        SELECT DISTINCT 'days', portfolio_id, basis, day FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO history_change (subject, portfolio_id, basis, day)
        SELECT DISTINCT 'days', portfolio_id, basis, day FROM old_rows;
    ELSE
        -- A row that was written over with what it held has not changed.
        INSERT INTO history_change (subject, portfolio_id, basis, day)
        SELECT DISTINCT 'days', portfolio_id, basis, day
        FROM (
            (TABLE old_rows EXCEPT TABLE new_rows) UNION ALL (TABLE new_rows EXCEPT TABLE old_rows)
        ) AS changed;
    END IF;
    RETURN NULL;
END $$;
"""
_DAY_TRIGGERS = """
CREATE TRIGGER note_new_days AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER note_deleted_days AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
CREATE TRIGGER note_changed_days AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_changed_days();
"""


def upgrade() -> None:
    op.execute("LOCK TABLE order_intent, fill IN ACCESS EXCLUSIVE MODE")
    op.execute(_NO_OVERFILL)
    op.drop_index("ix_order_intent_by_time", table_name="order_intent")
    op.create_index(
        "ix_order_intent_by_time",
        "order_intent",
        ["account_id", "updated_at"],
        unique=False,
        postgresql_where=sa.text("NOT dry_run AND not_after IS NOT NULL"),
    )
    op.create_table(
        "price_bar",
        sa.Column("price_source", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("high", sa.Numeric(), nullable=False),
        sa.Column("low", sa.Numeric(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("volume", sa.Numeric(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.CheckConstraint("timeframe IN ('1h', '1d')", name=op.f("ck_price_bar_timeframe_known")),
        sa.CheckConstraint(
            "origin IN ('recording', 'venue', 'trades', 'file', 'observed')", name=op.f("ck_price_bar_origin_known")
        ),
        sa.CheckConstraint("low > 0 AND high < 'Infinity'", name=op.f("ck_price_bar_range_valid")),
        sa.CheckConstraint(
            "open BETWEEN low AND high AND close BETWEEN low AND high", name=op.f("ck_price_bar_prices_within_range")
        ),
        sa.CheckConstraint("volume >= 0 AND volume < 'Infinity'", name=op.f("ck_price_bar_volume_valid")),
        sa.PrimaryKeyConstraint("price_source", "symbol", "timeframe", "opened_at", name=op.f("pk_price_bar")),
    )
    op.create_table(
        "rehearsed_deposit",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("occurred_at", _MOMENT, nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.CheckConstraint("amount > 0 AND amount < 'Infinity'", name=op.f("ck_rehearsed_deposit_amount_valid")),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_rehearsed_deposit_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "currency", "occurred_at", name=op.f("pk_rehearsed_deposit")),
    )
    op.create_table(
        "daily_portfolio_value",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("valuation_currency", sa.Text(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=True),
        sa.Column("inflow", sa.Numeric(), nullable=True),
        sa.Column("outflow", sa.Numeric(), nullable=True),
        sa.Column("missing", sa.dialects.postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("basis IN ('booked', 'rehearsed')", name=op.f("ck_daily_portfolio_value_basis_known")),
        sa.CheckConstraint(
            "(value IS NULL) = (missing <> '[]'::jsonb)", name=op.f("ck_daily_portfolio_value_value_or_missing")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolio.id"], name=op.f("fk_daily_portfolio_value_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "basis", "day", name=op.f("pk_daily_portfolio_value")),
    )
    op.create_table(
        "daily_holding",
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("units", sa.Numeric(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(
            ["portfolio_id", "basis", "day"],
            ["daily_portfolio_value.portfolio_id", "daily_portfolio_value.basis", "daily_portfolio_value.day"],
            name=op.f("fk_daily_holding_portfolio_id_basis_day"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("portfolio_id", "basis", "day", "currency", name=op.f("pk_daily_holding")),
    )
    op.create_index(
        "ix_rebalance_rehearsed",
        "rebalance",
        ["portfolio_id"],
        unique=False,
        postgresql_where=sa.text("triggered_by = 'backfill' AND dry_run"),
    )
    op.execute(_BOOK_ENTRY)
    op.add_column("rebalance_history", sa.Column("stored_at", _MOMENT, server_default=sa.text("now()"), nullable=False))
    op.create_index(op.f("ix_rebalance_history_stored_at"), "rebalance_history", ["stored_at"], unique=False)
    op.create_index(
        "ix_rebalance_history_rehearsed",
        "rebalance_history",
        ["portfolio_id", sa.text("executed_at DESC")],
        unique=False,
        postgresql_where=sa.text("triggered_by = 'backfill'"),
    )
    op.create_table(
        "history_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stored_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "subject IN ('rebalances', 'days') AND (subject = 'days') = (basis IS NOT NULL)",
            name=op.f("ck_history_change_subject_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_change")),
    )
    op.create_index(op.f("ix_history_change_stored_at"), "history_change", ["stored_at"], unique=False)
    op.execute(_CHANGES)
    for table in ("daily_portfolio_value", "daily_holding"):
        op.execute(_DAY_TRIGGERS.format(table=table))
