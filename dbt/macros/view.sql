{# Views are replaced in place. dbt's own way (make another, rename, drop the old one and all that stands on it) would take the live views of
   the mart away for the seconds until their turn comes. Where columns changed, there is no other way. #}
{% materialization view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if existing is not none and not existing.is_view -%}
        {{ adapter.drop_relation(existing) }}
    {%- endif -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {% call statement('main') -%}
        do $view$ begin
            create or replace view {{ target }} as (
                {{ sql }}
            );
        exception when invalid_table_definition then
            drop view {{ target }} cascade;
            create view {{ target }} as (
                {{ sql }}
            );
        end $view$
    {%- endcall %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}
