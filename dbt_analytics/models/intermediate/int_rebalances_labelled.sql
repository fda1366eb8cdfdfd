{{ config(materialized='view') }}

select
    history.rebalance_id,
    history.portfolio_id,
    portfolios.valuation_currency,
    {{ run_mode('history.dry_run', 'history.triggered_by') }} as run_mode,
    history.triggered_by,
    history.executed_at,
    {{ utc_day('history.executed_at') }} as day,
    history.success,
    history.portfolio_value,
    history.orders_planned,
    history.orders_executed,
    history.orders_failed,
    history.total_value_traded,
    history.fees_paid,
    history.duration_ms,
    history.errors
from {{ ref('stg_rebalance_history') }} as history
inner join {{ ref('stg_portfolios') }} as portfolios on portfolios.portfolio_id = history.portfolio_id
