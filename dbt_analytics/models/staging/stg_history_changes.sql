select
    id as history_change_id,
    subject,
    portfolio_id,
    basis,
    day,
    stored_at
from {{ source('rebalancer', 'history_change') }}
