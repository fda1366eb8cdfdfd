select *
from {{ ref('rebalance_success_rate') }}
where grain = 'all' and (success_rate < 0 or success_rate > 100 or successes + failures <> rebalances)
