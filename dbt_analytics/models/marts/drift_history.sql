select
    drift.rebalance_id,
    drift.portfolio_id,
    portfolios.portfolio_name,
    drift.run_mode,
    drift.executed_at,
    drift.drift_before,
    drift.drift_after
from {{ ref('int_drift_measured') }} as drift
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = drift.portfolio_id
