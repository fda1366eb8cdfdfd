select
    portfolios.portfolio_id,
    portfolios.portfolio_name,
    sums.run_mode,
    sums.symbol,
    sums.side,
    sums.fills::bigint as fills,
    sums.notional,
    round(sums.slippage * 10000 / nullif(sums.mid_notional, 0), 6) as slippage_bps,
    round(sums.fees * 10000 / nullif(sums.notional, 0), 6) as fees_bps,
    round(sums.maker_notional / nullif(sums.notional, 0), 6) as maker_share,
    round({{ percentile_of_spread(0.5) }}::numeric / 1000, 3) as median_seconds_to_fill
from {{ ref('int_fills_summed') }} as sums
inner join {{ ref('int_portfolios_named') }} as portfolios on portfolios.portfolio_id = sums.scope
where sums.grain = 'all'
