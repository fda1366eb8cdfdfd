select
    rebalance_id,
    phase,
    currency,
    weight,
    target
from {{ source('rebalancer', 'portfolio_position') }}
