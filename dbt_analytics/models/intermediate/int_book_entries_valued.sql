{#- Only of the days that are made anew: a table that every build writes afresh. -#}
{%- set touched_days = ref('int_portfolio_days_touched') -%}
{{ config(
    materialized='table',
    post_hook="analyze {{ this }}",
    indexes=[{'columns': ['portfolio_id', 'basis', 'day']}]
) }}

with entries as (

    select
        entries.*,
        {{ utc_day('entries.occurred_at') }} as day
    from {{ ref('stg_book_entries') }} as entries
    {% if var('stored_since') != '-infinity' -%}
    inner join {{ touched_days }} as touched
        on
            touched.portfolio_id = entries.portfolio_id
            and touched.basis = entries.basis
            and entries.occurred_at >= {{ start_of('touched.from_day') }}
    {%- endif %}

)

select
    entries.portfolio_id,
    entries.basis,
    entries.day,
    entries.kind,
    entries.currency,
    entries.amount,
    coalesce(holdings.close_price, closes.close_price) as close_price,
    case
        when entries.kind = 'fill' and entries.currency = orders.quote_currency
            then
                case orders.side when 'buy' then 1 else -1 end
                * (fills.quantity * orders.mid_price - fills.notional)
        else 0
    end as slippage
from entries
inner join {{ ref('stg_daily_portfolio_values') }} as days
    on days.portfolio_id = entries.portfolio_id and days.basis = entries.basis and days.day = entries.day
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = entries.portfolio_id
left join {{ ref('stg_daily_holdings') }} as holdings
    on
        holdings.portfolio_id = entries.portfolio_id
        and holdings.basis = entries.basis
        and holdings.day = entries.day
        and holdings.currency = entries.currency
left join {{ ref('stg_fills') }} as fills on fills.fill_id = entries.fill_id
left join {{ ref('stg_order_intents') }} as orders on orders.order_id = fills.order_id
cross join lateral {{
    close_of_day('entries.currency', 'days.valuation_currency', 'portfolios.price_source', 'entries.day')
}} as closes
