{{ config(
    pre_hook="{{ forget(ref('int_portfolio_days_touched'), from_the_first_touched_day()) }}",
    indexes=[{'columns': ['portfolio_id', 'basis', 'day'], 'unique': true}]
) }}

with returns as (

    select
        returns.*,
        {% if is_incremental() -%}
        coalesce(newest.log_growth, 0) as log_growth_before,
        coalesce(newest.log_peak, 0) as log_peak_before,
        coalesce(newest.fees_to_date, 0) as fees_before,
        coalesce(newest.fee_drag, 0) as fee_drag_before,
        coalesce(newest.hold_log_growth, 0) as hold_log_growth_before
        {%- else -%}
        0 as log_growth_before,
        0 as log_peak_before,
        0 as fees_before,
        0 as fee_drag_before,
        0 as hold_log_growth_before
        {%- endif %}
    from {{ ref('int_returns_computed') }} as returns
    {% if is_incremental() -%}
    inner join {{ ref('int_portfolio_days_touched') }} as touched
        on
            touched.portfolio_id = returns.portfolio_id
            and touched.basis = returns.basis
            and returns.day >= touched.from_day
    left join lateral (
        select earlier.*
        from {{ this }} as earlier
        where
            earlier.portfolio_id = touched.portfolio_id
            and earlier.basis = touched.basis
            and earlier.day < touched.from_day
        order by earlier.day desc
        limit 1
    ) as newest on true
    {%- endif %}

),

chained as (

    select
        *,
        log_growth_before + sum(coalesce(log_return, 0)) over until_then as log_growth,
        fees_before + sum(fees) over until_then as fees_to_date,
        fee_drag_before + sum(coalesce(fee_rate, 0)) over until_then as fee_drag,
        hold_log_growth_before + sum(coalesce(hold_log_return, 0)) over until_then as hold_log_growth
    from returns
    window until_then as (partition by portfolio_id, basis order by day)

),

peaks as (

    select
        *,
        greatest(log_peak_before, max(log_growth) over (partition by portfolio_id, basis order by day)) as log_peak
    from chained

)

select
    peaks.portfolio_id,
    peaks.basis,
    peaks.day,
    peaks.valuation_currency,
    peaks.value,
    peaks.inflow,
    peaks.outflow,
    peaks.daily_return,
    peaks.log_growth,
    peaks.log_peak,
    peaks.fees_to_date,
    peaks.fee_drag,
    peaks.hold_value,
    peaks.has_hold,
    peaks.hold_log_growth,
    round((spread.deviation * sqrt(365::numeric)), 10) as volatility
from peaks
cross join lateral (
    select stddev_samp(last_thirty.daily_return) as deviation
    from (
        select returns.daily_return
        from {{ ref('int_returns_computed') }} as returns
        where
            returns.portfolio_id = peaks.portfolio_id
            and returns.basis = peaks.basis
            and returns.day <= peaks.day
            and returns.daily_return is not null
        order by returns.day desc
        limit 30
    ) as last_thirty
) as spread
