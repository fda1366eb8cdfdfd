{# A lateral row `close_price` (what one unit is worth at a day's close; nothing when the day has no bar) and
   `newest_close_price` (that, or of the newest day before which has one). `1` for the valuation currency. A currency
   whose market the price source does not know at all is not counted: its price is 0. #}
{% macro close_of_day(currency, valuation_currency, price_source, day) -%}
    (
        select
            case
                when {{ currency }} = {{ valuation_currency }} then 1
                when bar.opened_at = {{ start_of(day) }} then bar.close_price
                when bar.opened_at is null and not exists (
                    select from {{ ref('stg_price_bars') }} as any_bar
                    where
                        any_bar.price_source = {{ price_source }}
                        and any_bar.symbol = {{ currency }} || '/' || {{ valuation_currency }}
                        and any_bar.timeframe = '1d'
                ) then 0
            end as close_price,
            case when {{ currency }} = {{ valuation_currency }} then 1 else bar.close_price end as newest_close_price
        from (select 1) as one
        left join lateral (
            select opened_at, close_price
            from {{ ref('stg_price_bars') }} as bars
            where
                bars.price_source = {{ price_source }}
                and bars.symbol = {{ currency }} || '/' || {{ valuation_currency }}
                and bars.timeframe = '1d'
                and bars.opened_at <= {{ start_of(day) }}
            order by opened_at desc
            limit 1
        ) as bar on true
    )
{%- endmacro %}


{# Which rows of a model of portfolios' days are made anew: from the first day that has changed on. #}
{% macro from_the_first_touched_day() -%}
    touched.portfolio_id = kept.portfolio_id and touched.basis = kept.basis and kept.day >= touched.from_day
{%- endmacro %}
