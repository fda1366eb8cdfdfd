-- Over the touched scopes, ever is the sum of the months.
select
    scope,
    run_mode,
    valuation_currency,
    sum(rebalances) filter (where grain = 'all') as ever,
    sum(rebalances) filter (where grain = 'month') as months
from {{ ref('int_rebalances_summed') }}
where
    grain in ('all', 'month')
    and scope in (select scope from {{ ref('int_periods_touched') }})
group by scope, run_mode, valuation_currency
having
    sum(rebalances) filter (where grain = 'all') is distinct from sum(rebalances) filter (where grain = 'month')
    or sum(total_value_traded) filter (where grain = 'all')
    is distinct from sum(total_value_traded) filter (where grain = 'month')
