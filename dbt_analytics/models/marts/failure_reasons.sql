select
    {{ portfolio_of('sums.scope') }} as portfolio_id,
    portfolios.portfolio_name,
    sums.run_mode,
    sums.code,
    sums.occurrences::bigint as occurrences,
    sums.last_at,
    sums.last_message
from {{ ref('int_failures_summed') }} as sums
left join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = sums.scope
where sums.grain = 'all'
