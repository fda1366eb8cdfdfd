{{ config(
    pre_hook="{{ forget(ref('int_portfolio_days_touched'), from_the_first_touched_day()) }}",
    indexes=[{'columns': ['portfolio_id', 'basis', 'day'], 'unique': true}]
) }}

with days as (

    -- Only days on which both ends have a value; the first day of all begins with nothing.
    select
        days.portfolio_id,
        days.basis,
        days.day,
        days.valuation_currency,
        coalesce(before.value, 0) as value_before,
        days.value,
        days.inflow - days.outflow as flows,
        days.entry_count - coalesce(before.entry_count, 0) as new_entries
    from {{ ref('stg_daily_portfolio_values') }} as days
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on
            touched.portfolio_id = days.portfolio_id
            and touched.basis = days.basis
            and days.day >= touched.from_day
    {% endif -%}
    left join {{ ref('stg_daily_portfolio_values') }} as before
        on before.portfolio_id = days.portfolio_id and before.basis = days.basis and before.day = days.day - 1
    where
        days.value is not null
        and (
            before.value is not null
            or not exists (
                select from {{ ref('stg_daily_portfolio_values') }} as earlier
                where
                    earlier.portfolio_id = days.portfolio_id
                    and earlier.basis = days.basis
                    and earlier.day < days.day
            )
        )

),

price_changes as (

    select
        days.portfolio_id,
        days.basis,
        days.day,
        sum(
            held.units * (
                coalesce(holdings.close_price, closes.close_price) - coalesce(held.close_price, 0)
            )
        ) as price,
        bool_and(coalesce(holdings.close_price, closes.close_price) is not null) as is_priced
    from days
    inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = days.portfolio_id
    inner join {{ ref('stg_daily_holdings') }} as held
        on held.portfolio_id = days.portfolio_id and held.basis = days.basis and held.day = days.day - 1
    left join {{ ref('stg_daily_holdings') }} as holdings
        on
            holdings.portfolio_id = days.portfolio_id
            and holdings.basis = days.basis
            and holdings.day = days.day
            and holdings.currency = held.currency
    cross join lateral {{
        close_of_day('held.currency', 'days.valuation_currency', 'portfolios.price_source', 'days.day')
    }} as closes
    where held.units <> 0
    group by days.portfolio_id, days.basis, days.day

),

entries as (

    select
        portfolio_id,
        basis,
        day,
        sum(amount * close_price) filter (where kind in ('fill', 'outside_trade')) as trades,
        sum(amount * close_price) filter (where kind = 'fee') as fees,
        sum(amount * close_price) filter (where kind = 'reward') as rewards,
        sum(slippage * close_price) as slippage,
        count(*) as entries,
        bool_and(close_price is not null) as is_priced
    from {{ ref('int_book_entries_valued') }}
    group by portfolio_id, basis, day

),

parts as (

    select
        days.portfolio_id,
        days.basis,
        days.day,
        days.value_before,
        days.value,
        days.value - days.value_before as change,
        coalesce(price_changes.price, 0) + coalesce(entries.trades, 0) - coalesce(entries.slippage, 0) as price,
        coalesce(entries.slippage, 0) as slippage,
        coalesce(entries.fees, 0) as fees,
        coalesce(entries.rewards, 0) as rewards,
        days.flows
    from days
    left join price_changes using (portfolio_id, basis, day)
    left join entries using (portfolio_id, basis, day)
    where
        coalesce(price_changes.is_priced, true)
        and coalesce(entries.is_priced, true)
        -- A book that has got an entry since the day was valued explains nothing until the day is valued again.
        and coalesce(entries.entries, 0) = days.new_entries

)

select
    *,
    change - price - slippage - fees - rewards - flows as residual
from parts
