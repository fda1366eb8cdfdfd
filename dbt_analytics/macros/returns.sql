{# A return as a logarithm with fifteen decimals: they add up exactly, in whatever pieces they are added. A total loss
   counts as what is left of it in fifteen decimals. #}
{% macro log_growth(daily_return) -%}
    round(ln(greatest(1 + ({{ daily_return }}), 1e-30)::double precision)::numeric, 15)
{%- endmacro %}


{# Back from the logarithm to a return, with ten decimals. #}
{% macro from_log_growth(log_growth) -%}
    round((exp(({{ log_growth }})::double precision) - 1)::numeric, 10)
{%- endmacro %}
