{{ config(
    incremental_strategy='replace_periods',
    post_hook="{{ analyze_when_new() }}",
    indexes=[
        {'columns': ['scope', 'grain', 'period_start', 'run_mode', 'valuation_currency'], 'unique': true},
        {'columns': ['grain', 'period_start']},
        {'columns': [portfolio_of('scope'), 'grain', 'period_start']}
    ]
) }}

with touched_rebalances as (

    select rebalances.*
    from {{ ref('int_rebalances_labelled') }} as rebalances
    {{ of_touched_days() }}

),

days_summed as (

    select
        portfolio_id,
        day,
        run_mode,
        valuation_currency,
        count(*) as rebalances,
        count(*) filter (where success) as successes,
        sum(total_value_traded) as total_value_traded,
        coalesce(sum(portfolio_value), 0) as portfolio_value_sum,
        count(portfolio_value) as portfolio_values,
        sum(duration_ms) as duration_ms_sum,
        sum(orders_planned) as orders_planned,
        sum(orders_executed) as orders_executed,
        sum(orders_failed) as orders_failed,
        sum(fees_paid) as fees_paid
    from touched_rebalances
    group by portfolio_id, day, run_mode, valuation_currency

),

{{ days_with_spread('touched_rebalances', 'duration_ms', dimensions=['run_mode', 'valuation_currency']) }},

{{ sums_of_periods(
    'days',
    dimensions=['run_mode', 'valuation_currency'],
    sums=[
        'rebalances', 'successes', 'total_value_traded', 'portfolio_value_sum', 'portfolio_values', 'duration_ms_sum',
        'orders_planned', 'orders_executed', 'orders_failed', 'fees_paid'
    ],
    spread=true
) }}
