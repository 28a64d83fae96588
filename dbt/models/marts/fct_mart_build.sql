select now() as built_at, '{{ dbt_version }}'::text as dbt_version
