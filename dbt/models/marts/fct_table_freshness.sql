{% for node in graph.sources.values() | sort(attribute='unique_id') if execute -%}
{% set relation = '"' ~ node.schema ~ '"."' ~ node.identifier ~ '"' %}
{% set newest = node.config.loaded_at_field or node.loaded_at_field %}
select
    '{{ node.schema }}.{{ node.identifier }}' as table_name,
    '{{ node.schema }}' as layer,
    {% if (node.config.meta or {}).get('is_partitioned') -%}
    (
        select case when bool_and(reltuples < 0) then null else sum(greatest(reltuples, 0)) end::bigint
        from pg_partition_tree('{{ relation }}'::regclass) as part
        inner join pg_class on part.relid = pg_class.oid
        where part.isleaf
    ) as estimated_rows,
    (select sum(pg_total_relation_size(relid))::bigint from pg_partition_tree('{{ relation }}'::regclass)) as bytes,
    {%- else -%}
    (select count(*) from {{ relation }}) as estimated_rows,
    pg_total_relation_size('{{ relation }}'::regclass) as bytes,
    {%- endif %}
    {{ '(select max(' ~ newest ~ ') from ' ~ relation ~ ')' if newest else 'null::timestamp with time zone' }} as newest_at,
    {{ seconds_between('(select max(' ~ newest ~ ') from ' ~ relation ~ ')', 'now()') if newest else 'null::double precision' }} as age_seconds,
    now() as checked_at
{{ 'union all' if not loop.last }}
{% else %}
-- While it is parsed, the list of tables is not there yet.
select null::text as table_name
{% endfor %}
