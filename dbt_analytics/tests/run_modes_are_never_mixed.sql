-- Every attempt of the touched days counts once, under its own run mode.
with counted as (

    select
        rebalances.portfolio_id,
        rebalances.day,
        rebalances.run_mode,
        count(*) as rebalances
    from {{ ref('int_days_touched') }} as touched
    inner join {{ ref('int_rebalances_labelled') }} as rebalances
        on
            rebalances.portfolio_id = touched.portfolio_id
            and rebalances.executed_at >= touched.starts_at
            and rebalances.executed_at < touched.ends_at
    group by rebalances.portfolio_id, rebalances.day, rebalances.run_mode

),

summed as (

    select
        sums.scope as portfolio_id,
        sums.period_start as day,
        sums.run_mode,
        sum(sums.rebalances) as rebalances
    from {{ ref('int_days_touched') }} as touched
    inner join {{ ref('int_rebalances_summed') }} as sums
        on sums.scope = touched.portfolio_id and sums.grain = 'day' and sums.period_start = touched.day
    group by sums.scope, sums.period_start, sums.run_mode

)

-- An attempt that ends while the marts are built is in the next build.
select
    portfolio_id,
    day,
    run_mode,
    counted.rebalances as in_the_history,
    summed.rebalances as in_the_mart
from counted
full join summed using (portfolio_id, day, run_mode)
where coalesce(summed.rebalances, 0) > coalesce(counted.rebalances, 0)
