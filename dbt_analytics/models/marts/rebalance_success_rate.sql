select
    {{ portfolio_of('sums.scope') }} as portfolio_id,
    portfolios.portfolio_name,
    sums.run_mode,
    sums.grain,
    nullif(sums.period_start, {{ for_ever() }}) as period_start,
    sum(sums.rebalances)::bigint as rebalances,
    sum(sums.successes)::bigint as successes,
    (sum(sums.rebalances) - sum(sums.successes))::bigint as failures,
    sum(sums.successes) * 100 / sum(sums.rebalances) as success_rate
from {{ ref('int_rebalances_summed') }} as sums
left join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = sums.scope
group by sums.scope, portfolios.portfolio_name, sums.run_mode, sums.grain, sums.period_start
