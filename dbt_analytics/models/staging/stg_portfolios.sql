select
    id as portfolio_id,
    name as portfolio_name,
    account_id,
    valuation_currency
from {{ source('rebalancer', 'portfolio') }}
