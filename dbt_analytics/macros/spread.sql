{# A spread is how often each value came: two arrays, values in rising order and their counts. Spreads of days add up to
   those of months and of ever, which medians and percentiles do not. #}


{# Milliseconds to three digits, so that a spread stays small however much it counts: at most half a percent off. #}
{% macro to_three_digits(milliseconds) -%}
    round({{ milliseconds }}::numeric, least(0, 3 - length(({{ milliseconds }})::bigint::text)))::bigint
{%- endmacro %}


{# The smallest value that at least this part of all is not above: the nearest rank. #}
{% macro percentile_of_spread(part, values='spread_values', counts='spread_counts') -%}
    (
        select ranked.value
        from (
            select
                entry.value,
                sum(entry.count) over (order by entry.value) as up_to_here,
                sum(entry.count) over () as altogether
            from unnest({{ values }}, {{ counts }}) as entry (value, count)
        ) as ranked
        where ranked.up_to_here >= {{ part }} * ranked.altogether
        order by ranked.value
        limit 1
    )
{%- endmacro %}
