{# The filter's decision for each market and day. A market that was delisted and listed again on one day has two: the one that is in counts. #}
{% macro decisions(condition='') -%}
    select distinct on (exchange, pair, day) *
    from {{ ref('stg_candidate') }}
    {{ condition }}
    order by exchange, pair, day, is_candidate desc, instrument_id
{%- endmacro %}
