select
    price_source,
    symbol,
    timeframe,
    opened_at,
    close as close_price
from {{ source('rebalancer', 'price_bar') }}
