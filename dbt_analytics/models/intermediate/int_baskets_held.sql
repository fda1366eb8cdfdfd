{{ config(
    pre_hook="{{ forget(ref('int_portfolio_days_touched'), from_the_first_touched_day()) }}",
    indexes=[{'columns': ['portfolio_id', 'basis', 'day', 'currency'], 'unique': true}]
) }}

with recursive first_days as (

    select distinct on (days.portfolio_id, days.basis)
        days.portfolio_id,
        days.basis,
        days.day,
        days.value
    from {{ ref('stg_daily_portfolio_values') }} as days
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on touched.portfolio_id = days.portfolio_id and touched.basis = days.basis
    {% endif -%}
    where days.value > 0
    order by days.portfolio_id, days.basis, days.day

),

begun as (

    select
        first_days.portfolio_id,
        first_days.basis,
        first_days.day,
        holdings.currency,
        round(holdings.units * holdings.close_price / first_days.value, 18) as weight,
        holdings.units as units_before_outflow,
        holdings.units,
        holdings.close_price,
        holdings.close_price as newest_close_price,
        true as is_new
    from first_days
    inner join {{ ref('stg_daily_holdings') }} as holdings
        on
            holdings.portfolio_id = first_days.portfolio_id
            and holdings.basis = first_days.basis
            and holdings.day = first_days.day
            and holdings.units > 0
            and holdings.close_price is not null
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on
            touched.portfolio_id = first_days.portfolio_id
            and touched.basis = first_days.basis
            and first_days.day >= touched.from_day

    union all

    select
        kept.portfolio_id,
        kept.basis,
        kept.day,
        kept.currency,
        kept.weight,
        kept.units_before_outflow,
        kept.units,
        kept.close_price,
        kept.newest_close_price,
        false as is_new
    from {{ ref('int_portfolio_days_touched') }} as touched
    cross join lateral (
        select max(earlier.day) as day
        from {{ this }} as earlier
        where
            earlier.portfolio_id = touched.portfolio_id
            and earlier.basis = touched.basis
            and earlier.day < touched.from_day
    ) as newest
    inner join {{ this }} as kept
        on kept.portfolio_id = touched.portfolio_id and kept.basis = touched.basis and kept.day = newest.day
    {%- endif %}

),

held as (

    select * from begun

    union all

    select
        held.portfolio_id,
        held.basis,
        next_day.day,
        held.currency,
        held.weight,
        invested.units,
        round(invested.units * (1 - next_day.share_taken_out), 18),
        closes.close_price,
        closes.newest_close_price,
        true
    from held
    inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = held.portfolio_id
    cross join lateral (
        select
            days.day,
            days.valuation_currency,
            coalesce(days.inflow, 0) as inflow,
            case when days.outflow > 0 then days.outflow / (days.value + days.outflow) else 0 end as share_taken_out
        from {{ ref('stg_daily_portfolio_values') }} as days
        where days.portfolio_id = held.portfolio_id and days.basis = held.basis and days.day > held.day
        order by days.day
        limit 1
    ) as next_day
    cross join lateral {{
        close_of_day('held.currency', 'next_day.valuation_currency', 'portfolios.price_source', 'next_day.day')
    }} as closes
    cross join lateral (
        select
            case
                when next_day.inflow = 0 then held.units
                else round(held.units + held.weight * next_day.inflow / closes.newest_close_price, 18)
            end as units
    ) as invested

)

select
    portfolio_id,
    basis,
    day,
    currency,
    weight,
    units_before_outflow,
    units,
    close_price,
    newest_close_price
from held
where is_new
