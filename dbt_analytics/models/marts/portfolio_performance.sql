select
    days.portfolio_id,
    portfolios.portfolio_name,
    days.basis,
    days.day,
    days.valuation_currency,
    days.value,
    days.inflow,
    days.outflow,
    days.daily_return,
    {{ from_log_growth('days.log_growth') }} as cumulative_return,
    {{ from_log_growth('days.log_growth - days.log_peak') }} as drawdown,
    days.volatility,
    days.fees_to_date,
    round(days.fee_drag, 10) as fee_drag,
    round(days.hold_value, 10) as hold_value,
    case when days.has_hold then {{ from_log_growth('days.hold_log_growth') }} end as hold_return,
    case
        when days.has_hold
            then {{ from_log_growth('days.log_growth') }} - {{ from_log_growth('days.hold_log_growth') }}
    end as edge
from {{ ref('int_returns_chained') }} as days
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = days.portfolio_id
