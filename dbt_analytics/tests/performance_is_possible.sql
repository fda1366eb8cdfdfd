select *
from {{ ref('portfolio_performance') }}
where
    (drawdown > 0 or drawdown < -1 or volatility < 0 or cumulative_return < -1)
    and (portfolio_id, basis) in (select portfolio_id, basis from {{ ref('int_portfolio_days_touched') }})
