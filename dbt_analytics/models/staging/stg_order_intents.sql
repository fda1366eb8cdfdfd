select
    id as order_id,
    rebalance_id,
    portfolio_id,
    symbol,
    base_currency,
    quote_currency,
    side,
    quantity as ordered_quantity,
    price as mid_price,
    created_at as decided_at
from {{ source('rebalancer', 'order_intent') }}
