select *
from {{ ref('int_value_changes_explained') }}
where
    residual <> 0
    and (portfolio_id, basis) in (select portfolio_id, basis from {{ ref('int_portfolio_days_touched') }})
