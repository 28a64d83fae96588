{# `+schema: mart` means the schema `mart`, not `<target>_mart`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
