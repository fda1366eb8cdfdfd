{{ config(
    pre_hook="{{ forget(ref('int_days_touched'), 'touched.portfolio_id = kept.portfolio_id and touched.day = kept.day') }}",
    indexes=[
        {'columns': ['rebalance_id'], 'unique': true},
        {'columns': ['portfolio_id', 'day']},
        {'columns': ['executed_at']}
    ]
) }}

select
    rebalances.rebalance_id,
    rebalances.portfolio_id,
    rebalances.day,
    rebalances.run_mode,
    rebalances.executed_at,
    sum(abs(positions.weight - positions.target)) filter (where positions.phase = 'before') / 2 as drift_before,
    sum(abs(positions.weight - positions.target)) filter (where positions.phase = 'after') / 2 as drift_after
from {{ ref('int_rebalances_labelled') }} as rebalances
{% if is_incremental() -%}
inner join {{ ref('int_days_touched') }} as touched
    on
        touched.portfolio_id = rebalances.portfolio_id
        and rebalances.executed_at >= touched.starts_at
        and rebalances.executed_at < touched.ends_at
{% endif -%}
inner join {{ ref('stg_portfolio_positions') }} as positions on positions.rebalance_id = rebalances.rebalance_id
group by
    rebalances.rebalance_id, rebalances.portfolio_id, rebalances.day, rebalances.run_mode, rebalances.executed_at
