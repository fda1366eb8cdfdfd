{{ config(
    materialized='table',
    post_hook="analyze {{ this }}",
    indexes=[{'columns': ['portfolio_id', 'day'], 'unique': true}]
) }}

with touched as (

    select portfolio_id, {{ utc_day('executed_at') }} as day
    from {{ ref('stg_rebalance_history') }}
    where stored_at >= {{ stored_since() }}

    union

    select portfolio_id, day
    from {{ ref('stg_history_changes') }}
    where subject = 'rebalances' and stored_at >= {{ stored_since() }}

)

select
    portfolio_id,
    day,
    {{ start_of('day') }} as starts_at,
    {{ start_of('(day + 1)') }} as ends_at
from touched
