select
    days.portfolio_id,
    portfolios.portfolio_name,
    days.basis,
    days.day,
    days.value_before,
    days.value,
    days.change,
    days.price,
    days.slippage,
    days.fees,
    days.rewards,
    days.flows,
    days.residual
from {{ ref('int_value_changes_explained') }} as days
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = days.portfolio_id
