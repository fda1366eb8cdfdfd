{# From figures per portfolio and day to those of every day, week, month and ever, per portfolio and over all of them.

   Only touched periods are made. A week is the sum of its days and ever is the sum of its months; the days and months
   that nothing has touched are taken as they stand in the model itself, so the work does not grow with the history.

   `days`: a CTE with one row per portfolio_id, day and `dimensions` for every touched portfolio and day.
   `sums`: its columns that add up. `spread`: it has the columns of a spread, too. `latest`: it has `last_at` and
   `last_message`, of which the latest stays. #}
{% macro sums_of_periods(days, dimensions, sums, spread=false, latest=false) %}

{%- set keys = ['scope', 'grain', 'period_start'] + dimensions -%}
{%- set figures = sums + (['last_at', 'last_message'] if latest else [])
        + (['spread_values', 'spread_counts'] if spread else []) -%}
{%- set columns = (keys + figures) | join(', ') -%}

days_of_portfolios as (

    select portfolio_id as scope, 'day' as grain, day as period_start, {{ (dimensions + figures) | join(', ') }}
    from {{ days }}

),

days_to_add_up as (

    select {{ columns }} from days_of_portfolios

    {% if is_incremental() -%}
    union all

    select {{ columns }}
    from {{ this }} as stored
    where
        stored.grain = 'day'
        and stored.scope <> {{ all_portfolios() }}
        and stored.period_start in (
            select period_start from {{ ref('int_periods_touched') }}
            where scope = {{ all_portfolios() }} and grain = 'day'
        )
        and not exists (
            select from {{ ref('int_periods_touched') }} as touched
            where touched.scope = stored.scope and touched.grain = 'day' and touched.period_start = stored.period_start
        )
    {%- endif %}

),

of_all_portfolios as (

    select {{ all_portfolios() }} as scope, grain, period_start, {{ (dimensions + figures) | join(', ') }}
    from days_to_add_up

),

{{ added_up('days_of_all', 'of_all_portfolios', keys, sums, spread, latest) }},

touched_days as (

    select {{ columns }} from days_of_portfolios

    union all

    select {{ columns }} from days_of_all

),

parts_of_weeks_and_months as (

    select
        part.scope,
        touched.grain,
        touched.period_start,
        {% for column in dimensions + figures %}part.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from touched_days as part
    inner join {{ ref('int_periods_touched') }} as touched
        on
            touched.scope = part.scope
            and touched.grain in ('week', 'month')
            and part.period_start between touched.period_start and touched.period_end

    {% if is_incremental() -%}
    union all

    select
        stored.scope,
        touched.grain,
        touched.period_start,
        {% for column in dimensions + figures %}stored.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ ref('int_periods_touched') }} as touched
    inner join {{ this }} as stored
        on
            stored.scope = touched.scope
            and stored.grain = 'day'
            and stored.period_start between touched.period_start and touched.period_end
    where
        touched.grain in ('week', 'month')
        and not exists (
            select from {{ ref('int_periods_touched') }} as day
            where day.scope = stored.scope and day.grain = 'day' and day.period_start = stored.period_start
        )
    {%- endif %}

),

{{ added_up('weeks_and_months', 'parts_of_weeks_and_months', keys, sums, spread, latest) }},

parts_of_ever as (

    select scope, 'all' as grain, {{ for_ever() }} as period_start, {{ (dimensions + figures) | join(', ') }}
    from weeks_and_months
    where grain = 'month'

    {% if is_incremental() -%}
    union all

    select
        stored.scope,
        touched.grain,
        touched.period_start,
        {% for column in dimensions + figures %}stored.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ ref('int_periods_touched') }} as touched
    inner join {{ this }} as stored on stored.scope = touched.scope and stored.grain = 'month'
    where
        touched.grain = 'all'
        and not exists (
            select from {{ ref('int_periods_touched') }} as month
            where month.scope = stored.scope and month.grain = 'month' and month.period_start = stored.period_start
        )
    {%- endif %}

),

{{ added_up('ever', 'parts_of_ever', keys, sums, spread, latest) }}

select {{ columns }} from touched_days

union all

select {{ columns }} from weeks_and_months

union all

select {{ columns }} from ever

{% endmacro %}


{# The CTE `name`: the rows of another one, those with the same keys made one. #}
{% macro added_up(name, rows, keys, sums, spread, latest) -%}
{{ name }}{{ '_summed' if spread }} as (

    select
        {{ keys | join(', ') }},
        {% if latest -%}
        max(last_at) as last_at,
        (array_agg(last_message order by last_at desc, last_message))[1] as last_message,
        {% endif -%}
        {% for column in sums -%}
        sum({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ rows }}
    group by {{ keys | join(', ') }}

)
{%- if spread %},

{{ name }}_spread as (

    select
        {{ keys | join(', ') }},
        array_agg(value order by value) as spread_values,
        array_agg(count order by value) as spread_counts
    from (
        select {{ keys | join(', ') }}, entry.value, sum(entry.count)::bigint as count
        from {{ rows }}
        cross join lateral unnest(spread_values, spread_counts) as entry (value, count)
        group by {{ keys | join(', ') }}, entry.value
    ) as counted
    group by {{ keys | join(', ') }}

),

{{ name }} as (

    select *
    from {{ name }}_summed
    left join {{ name }}_spread using ({{ keys | join(', ') }})

)
{%- endif %}
{%- endmacro %}


{# Which rows of a model of periods are made anew. #}
{% macro same_period() -%}
    touched.scope = kept.scope and touched.grain = kept.grain and touched.period_start = kept.period_start
{%- endmacro %}
