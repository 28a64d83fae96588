{# The UTC day of a time, whatever the session's time zone. #}
{% macro utc_day(at) -%}
    ({{ at }} at time zone 'UTC')::date
{%- endmacro %}

{# Seconds from one time to another, negative where the second is earlier. #}
{% macro seconds_between(earlier, later) -%}
    extract(epoch from {{ later }} - {{ earlier }})::double precision
{%- endmacro %}
