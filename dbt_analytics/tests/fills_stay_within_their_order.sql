-- Nobody may have traded more than was ordered.
select
    orders.order_id,
    orders.symbol,
    orders.ordered_quantity,
    sum(fills.quantity) as filled_quantity
from {{ ref('int_days_touched') }} as touched
inner join {{ ref('int_rebalances_labelled') }} as rebalances
    on
        rebalances.portfolio_id = touched.portfolio_id
        and rebalances.executed_at >= touched.starts_at
        and rebalances.executed_at < touched.ends_at
inner join {{ ref('stg_order_intents') }} as orders on orders.rebalance_id = rebalances.rebalance_id
inner join {{ ref('stg_fills') }} as fills on fills.order_id = orders.order_id
group by orders.order_id, orders.symbol, orders.ordered_quantity
having sum(fills.quantity) > orders.ordered_quantity
