{{ config(
    incremental_strategy='replace_periods',
    post_hook="{{ analyze_when_new() }}",
    indexes=[
        {'columns': ['scope', 'grain', 'period_start', 'run_mode', 'code'], 'unique': true},
        {'columns': ['grain', 'period_start']},
        {'columns': [portfolio_of('scope'), 'grain', 'period_start']}
    ]
) }}

with days as (

    select
        rebalances.portfolio_id,
        rebalances.day,
        rebalances.run_mode,
        error.code,
        count(*) as occurrences,
        max(rebalances.executed_at) as last_at,
        (array_agg(error.message order by rebalances.executed_at desc, error.message))[1] as last_message
    from {{ ref('int_rebalances_labelled') }} as rebalances
    {{ of_touched_days() }}
    cross join lateral jsonb_to_recordset(rebalances.errors) as error (code text, message text)
    group by rebalances.portfolio_id, rebalances.day, rebalances.run_mode, error.code

),

{{ sums_of_periods('days', dimensions=['run_mode', 'code'], sums=['occurrences'], latest=true) }}
