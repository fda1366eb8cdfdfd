{# From figures per portfolio and day to those of every day, week, month and ever, per portfolio and over all of them.

   Only touched periods are made. A week is the sum of its days; those that nothing has touched are taken as they stand
   in the model itself. Ever is what it was, with the touched months exchanged. So the work does not grow with the
   history, and since numbers add up exactly, it comes to the last digit to what a build from the beginning makes.

   `days`: a CTE with one row per portfolio_id, day and `dimensions` for every touched portfolio and day.
   `sums`: its columns that add up. `spread`: it has the columns of a spread, too. `latest`: it has `last_at` and
   `last_message`, of which the latest stays. #}
{% macro sums_of_periods(days, dimensions, sums, spread=false, latest=false) %}

{%- set touched_periods = ref('int_periods_touched') -%}
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
            select period_start from {{ touched_periods }}
            where scope = {{ all_portfolios() }} and grain = 'day'
        )
        and not exists (
            select from {{ touched_periods }} as touched
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
        longer.grain,
        date_trunc(longer.grain, part.period_start)::date as period_start,
        {% for column in dimensions + figures %}part.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from touched_days as part
    cross join (values ('week'), ('month')) as longer (grain)

    {% if is_incremental() -%}
    union all

    select
        stored.scope,
        touched.grain,
        touched.period_start,
        {% for column in dimensions + figures %}stored.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ touched_periods }} as touched
    inner join {{ this }} as stored
        on
            stored.scope = touched.scope
            and stored.grain = 'day'
            and stored.period_start between touched.period_start and touched.period_end
    where
        touched.grain in ('week', 'month')
        and not exists (
            select from {{ touched_periods }} as day
            where day.scope = stored.scope and day.grain = 'day' and day.period_start = stored.period_start
        )
    {%- endif %}

),

{{ added_up('weeks_and_months', 'parts_of_weeks_and_months', keys, sums, spread, latest) }},

parts_of_ever as (

    select
        1 as sign, scope, 'all' as grain, {{ for_ever() }} as period_start, {{ (dimensions + figures) | join(', ') }}
    from weeks_and_months
    where grain = 'month'

    {% if is_incremental() -%}
    union all

    select
        {{ 1 if latest else -1 }},
        stored.scope,
        ever.grain,
        ever.period_start,
        {% for column in dimensions + figures %}stored.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ touched_periods }} as ever
    {%- if latest %}
    -- The latest of all cannot be reckoned back: the months that nothing has touched are looked through.
    inner join {{ this }} as stored on stored.scope = ever.scope and stored.grain = 'month'
    where
        ever.grain = 'all'
        and not exists (
            select from {{ touched_periods }} as month
            where month.scope = stored.scope and month.grain = 'month' and month.period_start = stored.period_start
        )
    {%- else %}
    -- What the touched months were is taken off, what they are is added, whatever number of months there is.
    inner join {{ touched_periods }} as month on month.scope = ever.scope and month.grain = 'month'
    inner join {{ this }} as stored
        on stored.scope = month.scope and stored.grain = 'month' and stored.period_start = month.period_start
    where ever.grain = 'all'

    union all

    select
        1,
        {% for column in keys + figures %}stored.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ touched_periods }} as ever
    inner join {{ this }} as stored
        on stored.scope = ever.scope and stored.grain = ever.grain and stored.period_start = ever.period_start
    where ever.grain = 'all'
    {%- endif %}
    {%- endif %}

),

{{ added_up('ever', 'parts_of_ever', keys, sums, spread, latest, signed=true) }}

select {{ columns }} from touched_days

union all

select {{ columns }} from weeks_and_months

union all

select {{ columns }} from ever

{% endmacro %}


{# What joins `rebalances` to the days that are made anew: those that something has touched, or all of them. #}
{% macro of_touched_days() -%}
    {%- set touched_days = ref('int_days_touched') -%}
    {% if is_incremental() -%}
    inner join {{ touched_days }} as touched
        on
            touched.portfolio_id = rebalances.portfolio_id
            and rebalances.executed_at >= touched.starts_at
            and rebalances.executed_at < touched.ends_at
    {%- endif %}
{%- endmacro %}


{# The CTE `days`: `days_summed`, which has a row per portfolio_id, day and `dimensions` of `rows`, with the spread of a
   column of `rows` in milliseconds. #}
{% macro days_with_spread(rows, milliseconds, dimensions) -%}
{%- set keys = (['portfolio_id', 'day'] + dimensions) | join(', ') -%}
days_spread as (

    select
        {{ keys }},
        array_agg(value order by value)::text as spread_values,
        array_agg(count order by value)::text as spread_counts
    from (
        select {{ keys }}, {{ to_three_digits(milliseconds) }} as value, count(*) as count
        from {{ rows }}
        group by {{ keys }}, value
    ) as counted
    group by {{ keys }}

),

days as (

    select *
    from days_summed
    inner join days_spread using ({{ keys }})

)
{%- endmacro %}


{# The CTE `name`: the rows of another one, those with the same keys made one. `signed`: its column `sign` says which
   are taken off; what nothing is left of goes. #}
{% macro added_up(name, rows, keys, sums, spread, latest, signed=false) -%}
{{ name }}{{ '_summed' if spread }} as (

    select
        {{ keys | join(', ') }},
        {% if latest -%}
        max(last_at) as last_at,
        (array_agg(last_message order by last_at desc, last_message))[1] as last_message,
        {% endif -%}
        {% for column in sums -%}
        {{ 'trim_scale(sum(sign * ' ~ column ~ '))' if signed else 'sum(' ~ column ~ ')' }} as {{ column }}
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ rows }}
    group by {{ keys | join(', ') }}
    {% if signed %}having sum(sign * {{ sums[0] }}) <> 0{% endif %}

)
{%- if spread %},

{{ name }}_spread as (

    select
        {{ keys | join(', ') }},
        array_agg(value order by value)::text as spread_values,
        array_agg(count order by value)::text as spread_counts
    from (
        select
            {{ keys | join(', ') }},
            entry.value,
            sum({{ 'sign * ' if signed }}entry.count)::bigint as count
        from {{ rows }}
        cross join lateral unnest(spread_values::bigint[], spread_counts::bigint[]) as entry (value, count)
        group by {{ keys | join(', ') }}, entry.value
    ) as counted
    where count <> 0
    group by {{ keys | join(', ') }}

),

{{ name }} as (

    select *
    from {{ name }}_summed
    left join {{ name }}_spread using ({{ keys | join(', ') }})

)
{%- endif %}
{%- endmacro %}


{# The incremental strategy of such a model: the touched periods go when the new ones have been reckoned from them. #}
{% macro get_incremental_replace_periods_sql(arg_dict) %}
    delete from {{ arg_dict['target_relation'] }} as kept using {{ ref('int_periods_touched') }} as touched
    where
        touched.scope = kept.scope
        and touched.grain = kept.grain
        and touched.period_start = kept.period_start;

    {{ get_incremental_append_sql(arg_dict) }}
{% endmacro %}
