select
    portfolio_id,
    basis,
    day,
    valuation_currency,
    value,
    inflow,
    outflow,
    entry_count
from {{ source('rebalancer', 'daily_portfolio_value') }}
