"""What the paper venue has seen of who traded when."""

from __future__ import annotations

from typing import LiteralString

TURNS: LiteralString = """
SELECT account.name AS account, rebalance.dagster_run_id AS run,
       min(paper_order.created_at) AS first_sent, max(paper_trade.executed_at) AS last_filled
FROM paper_order
JOIN paper_trade ON paper_trade.order_id = paper_order.id
JOIN order_intent AS sent ON sent.client_order_id = paper_order.client_order_id
JOIN order_intent AS owned ON owned.id = sent.id OR owned.netted_into = sent.id
JOIN rebalance ON rebalance.id = owned.rebalance_id
JOIN account ON account.id = paper_order.account_id
GROUP BY account.name, rebalance.dagster_run_id
ORDER BY account.name, first_sent
"""
"""When each run traded each account: account, run, first order sent, last one filled; by account and time."""
