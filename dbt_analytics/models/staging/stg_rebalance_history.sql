select
    id as rebalance_id,
    portfolio_id,
    executed_at,
    success,
    dry_run,
    triggered_by,
    portfolio_value,
    orders_planned,
    orders_executed,
    orders_failed,
    total_value_traded,
    fees_paid,
    errors,
    duration_ms,
    stored_at
from {{ source('rebalancer', 'rebalance_history') }}
