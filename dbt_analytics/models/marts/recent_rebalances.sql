select
    rebalances.rebalance_id as id,
    rebalances.portfolio_id,
    portfolios.portfolio_name,
    rebalances.executed_at,
    rebalances.run_mode,
    rebalances.success,
    rebalances.orders_executed,
    rebalances.total_value_traded,
    rebalances.portfolio_value,
    rebalances.valuation_currency,
    rebalances.triggered_by,
    rebalances.duration_ms,
    rebalances.first_error
from {{ ref('int_rebalances_picked') }} as rebalances
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = rebalances.portfolio_id
