{{ config(
    pre_hook="{{ forget(ref('int_portfolio_days_touched'), from_the_first_touched_day()) }}",
    indexes=[{'columns': ['portfolio_id', 'basis', 'day'], 'unique': true}]
) }}

with days as (

    select days.*
    from {{ ref('stg_daily_portfolio_values') }} as days
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on
            touched.portfolio_id = days.portfolio_id
            and touched.basis = days.basis
            and days.day >= touched.from_day
    {%- endif %}

),

fees as (

    select portfolio_id, basis, day, -sum(amount * coalesce(close_price, 0)) as fees
    from {{ ref('int_book_entries_valued') }}
    where kind = 'fee'
    group by portfolio_id, basis, day

),

baskets as (

    select
        baskets.portfolio_id,
        baskets.basis,
        baskets.day,
        case when bool_and(baskets.close_price is not null) then sum(baskets.units * baskets.close_price) end
            as hold_value,
        -- Returns go on over a day without a close, and catch up on the next that has one.
        sum(baskets.units * baskets.newest_close_price) as newest_hold_value,
        sum(baskets.units_before_outflow * baskets.newest_close_price) as newest_hold_value_before_outflow,
        not exists (
            select from {{ ref('int_baskets_held') }} as earlier
            where
                earlier.portfolio_id = baskets.portfolio_id
                and earlier.basis = baskets.basis
                and earlier.day < baskets.day
        ) as hold_begins
    from {{ ref('int_baskets_held') }} as baskets
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on
            touched.portfolio_id = baskets.portfolio_id
            and touched.basis = baskets.basis
            -- One day more, since a return needs the value before.
            and baskets.day >= touched.from_day - 1
    {% endif -%}
    group by baskets.portfolio_id, baskets.basis, baskets.day

),

joined as (

    select
        days.portfolio_id,
        days.basis,
        days.day,
        days.valuation_currency,
        days.value,
        days.inflow,
        days.outflow,
        coalesce(fees.fees, 0) as fees,
        baskets.hold_value,
        baskets.newest_hold_value_before_outflow,
        coalesce(baskets.hold_begins, false) as hold_begins,
        baskets_before.newest_hold_value as newest_hold_value_before,
        coalesce(days.inflow, 0) as hold_inflow,
        case
            when days.value is null then null
            when before.day is null then 0
            -- Over days without a value there is a return only if nothing came or went on them.
            when before.day = days.day - 1 or not exists (
                select from {{ ref('stg_book_entries') }} as entries
                where
                    entries.portfolio_id = days.portfolio_id
                    and entries.basis = days.basis
                    and entries.kind in ('deposit', 'withdrawal', 'transfer', 'adjustment')
                    and entries.occurred_at >= {{ start_of('(before.day + 1)') }}
                    and entries.occurred_at < {{ start_of('days.day') }}
            ) then before.value
        end as value_before
    from days
    left join fees using (portfolio_id, basis, day)
    left join baskets using (portfolio_id, basis, day)
    left join baskets as baskets_before
        on
            baskets_before.portfolio_id = days.portfolio_id
            and baskets_before.basis = days.basis
            and baskets_before.day = days.day - 1
    left join lateral (
        select earlier.day, earlier.value
        from {{ ref('stg_daily_portfolio_values') }} as earlier
        where
            earlier.portfolio_id = days.portfolio_id
            and earlier.basis = days.basis
            and earlier.day < days.day
            and earlier.value is not null
        order by earlier.day desc
        limit 1
    ) as before on true

),

returns as (

    select
        *,
        case
            when value_before + inflow > 0 then round((value + outflow) / (value_before + inflow) - 1, 15)
        end as daily_return,
        case when value_before + inflow > 0 then round(fees / (value_before + inflow), 15) end as fee_rate,
        case
            when newest_hold_value_before + hold_inflow > 0
                then round(newest_hold_value_before_outflow / (newest_hold_value_before + hold_inflow) - 1, 15)
        end as hold_daily_return
    from joined

)

select
    portfolio_id,
    basis,
    day,
    valuation_currency,
    value,
    inflow,
    outflow,
    fees,
    fee_rate,
    daily_return,
    {{ log_growth('daily_return') }} as log_return,
    hold_value,
    -- What is held from the first day on has come to its value on that day as the portfolio has.
    {{ log_growth('case when hold_begins then daily_return else hold_daily_return end') }} as hold_log_return,
    hold_value is not null as has_hold
from returns
