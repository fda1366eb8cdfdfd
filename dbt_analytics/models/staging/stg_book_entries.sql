select
    portfolio_id,
    basis,
    kind,
    currency,
    amount,
    occurred_at,
    fill_id
from {{ source('rebalancer', 'book_entry') }}
