{# What an attempt was: with money (or play money), a dry run, or a rehearsal of the past. Never mixed in one figure. #}
{% macro run_mode(dry_run, triggered_by) -%}
    case
        when not {{ dry_run }} then 'live'
        when {{ triggered_by }} = 'backfill' then 'backfill'
        else 'dry_run'
    end
{%- endmacro %}


{# The day in UTC, whatever the session's time zone is. #}
{% macro utc_day(moment) -%}
    ({{ moment }} at time zone 'UTC')::date
{%- endmacro %}


{% macro start_of(day) -%}
    ({{ day }}::timestamp at time zone 'UTC')
{%- endmacro %}


{# The scope of figures over all portfolios; every other scope is a portfolio's id. #}
{% macro all_portfolios() -%}
    '00000000-0000-0000-0000-000000000000'::uuid
{%- endmacro %}


{# Whose figures those of a scope are: a portfolio's, or null. Models of sums have an index by it, for people ask so. #}
{% macro portfolio_of(scope) -%}
    nullif({{ scope }}, {{ all_portfolios() }})
{%- endmacro %}


{# The period that lasts for ever has no start; in a key it takes one. #}
{% macro for_ever() -%}
    '-infinity'::date
{%- endmacro %}


{# What was stored from then on is new to the marts. A literal, so that PostgreSQL knows how little that is. #}
{% macro stored_since() -%}
    '{{ var("stored_since") }}'::timestamptz
{%- endmacro %}


{# Before an incremental model adds rows: the ones that they replace go, in the same transaction. #}
{% macro forget(touched, condition) -%}
    {%- if is_incremental() -%}
    delete from {{ this }} as kept using {{ touched }} as touched where {{ condition }}
    {%- endif -%}
{%- endmacro %}


{# A table that has just been made whole has no statistics, and the next build would plan without them. #}
{% macro analyze_when_new() -%}
    {%- if not is_incremental() -%}
    analyze {{ this }}
    {%- endif -%}
{%- endmacro %}
