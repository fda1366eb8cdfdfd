"""What real money needs: keys and their counters, the venue's ledger in ours, a kill switch, notional of fills.

Stop every worker of the version before: it cannot store a fill any more, so an order that it has sent would wait for
this version to find it at the venue. Five tables are locked against readers too until this is done: `fill` is written
anew, `ledger_entry` read once and the new indexes are built meanwhile, which takes seconds per million rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"

# All at once, before anything is changed, and in the sequence in which a rebalance writes to them: so one that is under
# way can end first, and one that takes longer than the lock timeout ends the migration here.
_LOCKS = "LOCK TABLE account, rebalance, order_intent, fill, ledger_entry IN ACCESS EXCLUSIVE MODE"

# The trigger that watches quantities would look up every order once per fill, and no quantity changes here.
_NOTIONAL = """
ALTER TABLE fill DISABLE TRIGGER fills_stay_within_the_order;
UPDATE fill SET notional = quantity * price;
ALTER TABLE fill ENABLE TRIGGER fills_stay_within_the_order;
"""


def upgrade() -> None:
    op.execute(_LOCKS)
    _accounts()
    _rebalances()
    _orders()
    _ledger()
    _kill_switch()
    _venue_keys()


def _accounts() -> None:
    moment = sa.DateTime(timezone=True)
    op.add_column("account", sa.Column("live_trading", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("account", sa.Column("endpoint", sa.Text(), nullable=True))
    op.add_column(
        "account", sa.Column("credentials", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column("account", sa.Column("key_fingerprint", sa.Text(), nullable=True))
    op.add_column("account", sa.Column("reconciled_at", moment, nullable=True))
    op.add_column("account", sa.Column("resumed_at", moment, nullable=True))
    op.create_unique_constraint(op.f("uq_account_key_fingerprint"), "account", ["key_fingerprint"])
    op.create_check_constraint(
        op.f("ck_account_credentials_known"),
        "account",
        "credentials - ARRAY['key_env', 'secret_env', 'sealed'] = '{}'::jsonb",
    )


def _rebalances() -> None:
    op.add_column(
        "rebalance",
        sa.Column(
            "confirmed", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
    )
    op.drop_index(op.f("ix_rebalance_portfolio_id"), table_name="rebalance")
    op.create_index(
        op.f("ix_rebalance_portfolio_id_started_at"), "rebalance", ["portfolio_id", "started_at"], unique=False
    )
    op.create_index(op.f("ix_rebalance_account_id_started_at"), "rebalance", ["account_id", "started_at"], unique=False)


def _orders() -> None:
    op.create_index(
        "ix_order_intent_by_time",
        "order_intent",
        ["account_id", "updated_at"],
        unique=False,
        postgresql_where=sa.text("NOT dry_run"),
    )
    op.add_column("fill", sa.Column("notional", sa.Numeric(), nullable=True))
    op.execute(_NOTIONAL)
    op.alter_column("fill", "notional", nullable=False)
    op.create_check_constraint(op.f("ck_fill_notional_valid"), "fill", "notional >= 0 AND notional < 'Infinity'")
    op.create_index(op.f("ix_fill_account_id_executed_at"), "fill", ["account_id", "executed_at"], unique=False)


def _ledger() -> None:
    op.add_column("ledger_entry", sa.Column("venue_entry_id", sa.Text(), nullable=True))
    op.drop_constraint(op.f("ck_ledger_entry_kind_known"), "ledger_entry")
    op.create_check_constraint(
        op.f("ck_ledger_entry_kind_known"),
        "ledger_entry",
        "kind IN ('deposit', 'withdrawal', 'fill', 'fee', 'outside_trade', 'reward', 'transfer', 'adjustment')",
    )
    op.create_index(
        "uq_ledger_entry_venue_entry",
        "ledger_entry",
        ["account_id", "venue_entry_id", "kind"],
        unique=True,
        postgresql_where=sa.text("venue_entry_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_ledger_entry_portfolio_id"), table_name="ledger_entry")
    op.create_index(
        op.f("ix_ledger_entry_portfolio_id_occurred_at"), "ledger_entry", ["portfolio_id", "occurred_at"], unique=False
    )


def _kill_switch() -> None:
    op.create_table(
        "kill_switch",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("engaged_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("only_row", name=op.f("ck_kill_switch_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_kill_switch")),
    )


def _venue_keys() -> None:
    op.create_table(
        "venue_key",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("last_nonce", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rest_counter", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("rest_counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "trading_counters",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint("last_nonce >= 0", name=op.f("ck_venue_key_last_nonce_valid")),
        sa.CheckConstraint(
            "rest_counter >= 0 AND rest_counter < 'Infinity'", name=op.f("ck_venue_key_rest_counter_valid")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_venue_key_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_venue_key")),
    )
