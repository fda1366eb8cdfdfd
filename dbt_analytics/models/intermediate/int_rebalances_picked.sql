{#- How many of a portfolio's newest attempts are kept at hand, and as many of those that were rehearsed: their times lie
    years back, and the attempts of the present would push them out. -#}
{% set kept = 25 %}

{{ config(
    pre_hook="{{ forget(ref('int_periods_touched'), 'touched.scope = kept.portfolio_id and touched.grain = \\'all\\'') }}",
    post_hook="{{ analyze_when_new() }}",
    indexes=[
        {'columns': ['rebalance_id'], 'unique': true},
        {'columns': ['executed_at']},
        {'columns': ['portfolio_id', 'executed_at']}
    ]
) }}

select newest.*
from {{ ref('int_periods_touched') }} as touched
cross join lateral (
{%- for rehearsed in ['<>', '='] %}
    (
        select
            rebalances.rebalance_id,
            rebalances.portfolio_id,
            rebalances.run_mode,
            rebalances.valuation_currency,
            rebalances.triggered_by,
            rebalances.executed_at,
            rebalances.success,
            rebalances.orders_executed,
            rebalances.total_value_traded,
            rebalances.portfolio_value,
            rebalances.duration_ms,
            rebalances.errors -> 0 ->> 'message' as first_error
        from {{ ref('int_rebalances_labelled') }} as rebalances
        where rebalances.portfolio_id = touched.scope and rebalances.triggered_by {{ rehearsed }} 'backfill'
        order by rebalances.executed_at desc, rebalances.rebalance_id desc
        limit {{ kept }}
    )
    {% if not loop.last %}union all{% endif %}
{%- endfor %}
) as newest
where touched.grain = 'all'
