{{ config(
    materialized='table',
    post_hook="analyze {{ this }}",
    indexes=[{'columns': ['portfolio_id', 'basis'], 'unique': true}]
) }}

select
    portfolio_id,
    basis,
    min(day) as from_day
from {{ ref('stg_history_changes') }}
where subject = 'days' and stored_at >= {{ stored_since() }}
group by portfolio_id, basis
