{{ config(
    materialized='table',
    post_hook="analyze {{ this }}",
    indexes=[{'columns': ['scope', 'grain', 'period_start'], 'unique': true}]
) }}

with days as (

    select portfolio_id as scope, day from {{ ref('int_days_touched') }}

    union

    select {{ all_portfolios() }}, day from {{ ref('int_days_touched') }}

)

select scope, 'day' as grain, day as period_start, day as period_end
from days

union

select scope, 'week', date_trunc('week', day)::date, date_trunc('week', day)::date + 6
from days

union

select scope, 'month', date_trunc('month', day)::date, (date_trunc('month', day) + interval '1 month')::date - 1
from days

union

select scope, 'all', {{ for_ever() }}, 'infinity'::date
from days
