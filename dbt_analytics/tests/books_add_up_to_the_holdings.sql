-- What the entries of a book sum to is what its newest valued day holds, unless the book has grown since.
with newest as (

    select distinct on (days.portfolio_id, days.basis)
        days.portfolio_id,
        days.basis,
        days.day,
        days.entry_count
    from {{ ref('stg_daily_portfolio_values') }} as days
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on touched.portfolio_id = days.portfolio_id and touched.basis = days.basis
    order by days.portfolio_id, days.basis, days.day desc

),

entries as (

    select
        newest.portfolio_id,
        newest.basis,
        newest.day,
        newest.entry_count,
        entries.currency,
        entries.amount,
        count(*) over (partition by newest.portfolio_id, newest.basis) as entries_now
    from newest
    inner join {{ ref('stg_book_entries') }} as entries
        on
            entries.portfolio_id = newest.portfolio_id
            and entries.basis = newest.basis
            and entries.occurred_at < {{ start_of('(newest.day + 1)') }}

),

booked as (

    select portfolio_id, basis, day, currency, sum(amount) as units
    from entries
    where entries_now = entry_count
    group by portfolio_id, basis, day, currency

)

select
    portfolio_id,
    basis,
    day,
    currency,
    booked.units as booked_units,
    holdings.units as held_units
from booked
left join {{ ref('stg_daily_holdings') }} as holdings using (portfolio_id, basis, day, currency)
where booked.units <> coalesce(holdings.units, 0)
