select
    portfolio_id,
    basis,
    day,
    currency,
    units,
    price as close_price
from {{ source('rebalancer', 'daily_holding') }}
