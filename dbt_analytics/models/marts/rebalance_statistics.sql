select
    {{ portfolio_of('sums.scope') }} as portfolio_id,
    portfolios.portfolio_name,
    sums.run_mode,
    sums.valuation_currency,
    sums.rebalances::bigint as rebalances,
    sums.total_value_traded,
    sums.portfolio_value_sum / nullif(sums.portfolio_values, 0) as average_portfolio_value,
    sums.duration_ms_sum / sums.rebalances as average_duration_ms,
    {{ percentile_of_spread(0.95) }} as p95_duration_ms,
    sums.orders_planned::bigint as orders_planned,
    sums.orders_executed::bigint as orders_executed,
    sums.orders_failed::bigint as orders_failed,
    sums.fees_paid
from {{ ref('int_rebalances_summed') }} as sums
left join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = sums.scope
where sums.grain = 'all'
