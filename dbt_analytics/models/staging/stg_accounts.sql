select
    id as account_id,
    name as account_name,
    venue,
    price_source
from {{ source('rebalancer', 'account') }}
