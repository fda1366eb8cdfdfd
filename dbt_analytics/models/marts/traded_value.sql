select
    {{ portfolio_of('sums.scope') }} as portfolio_id,
    portfolios.portfolio_name,
    sums.run_mode,
    sums.grain,
    nullif(sums.period_start, {{ for_ever() }}) as period_start,
    sums.base_currency as currency,
    sums.side,
    sums.quote_currency as valuation_currency,
    sums.orders::bigint as orders,
    sums.quantity,
    sums.notional as traded_value
from {{ ref('int_fills_summed') }} as sums
left join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = sums.scope
