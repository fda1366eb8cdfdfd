{{ config(
    incremental_strategy='replace_periods',
    post_hook="{{ analyze_when_new() }}",
    indexes=[
        {'columns': ['scope', 'grain', 'period_start', 'run_mode', 'symbol', 'side'], 'unique': true},
        {'columns': ['grain', 'period_start']},
        {'columns': [portfolio_of('scope'), 'grain', 'period_start']}
    ]
) }}

with touched_fills as (

    select
        rebalances.portfolio_id,
        rebalances.day,
        rebalances.run_mode,
        orders.order_id,
        orders.symbol,
        orders.base_currency,
        orders.quote_currency,
        orders.side,
        fills.quantity,
        fills.notional,
        fills.quantity * orders.mid_price as mid_notional,
        case orders.side when 'buy' then 1 else -1 end * (fills.notional - fills.quantity * orders.mid_price)
            as slippage,
        case fills.fee_currency
            when orders.quote_currency then fills.fee
            when orders.base_currency then fills.fee * orders.mid_price
            else 0
        end as fees,
        case when fills.liquidity_side = 'maker' then fills.notional else 0 end as maker_notional,
        greatest(0, round(extract(epoch from fills.executed_at - orders.decided_at) * 1000))::bigint as waited_ms
    from {{ ref('int_rebalances_labelled') }} as rebalances
    {{ of_touched_days() }}
    inner join {{ ref('stg_order_intents') }} as orders on orders.rebalance_id = rebalances.rebalance_id
    inner join {{ ref('stg_fills') }} as fills on fills.order_id = orders.order_id

),

days_summed as (

    select
        portfolio_id,
        day,
        run_mode,
        symbol,
        base_currency,
        quote_currency,
        side,
        count(distinct order_id) as orders,
        count(*) as fills,
        sum(quantity) as quantity,
        sum(notional) as notional,
        sum(mid_notional) as mid_notional,
        sum(slippage) as slippage,
        sum(fees) as fees,
        sum(maker_notional) as maker_notional
    from touched_fills
    group by portfolio_id, day, run_mode, symbol, base_currency, quote_currency, side

),

{{ days_with_spread('touched_fills', 'waited_ms', dimensions=['run_mode', 'symbol', 'side']) }},

{{ sums_of_periods(
    'days',
    dimensions=['run_mode', 'symbol', 'base_currency', 'quote_currency', 'side'],
    sums=['orders', 'fills', 'quantity', 'notional', 'mid_notional', 'slippage', 'fees', 'maker_notional'],
    spread=true
) }}
