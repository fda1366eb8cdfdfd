select
    id as fill_id,
    order_intent_id as order_id,
    quantity,
    notional,
    fee,
    fee_currency,
    liquidity_side,
    executed_at
from {{ source('rebalancer', 'fill') }}
