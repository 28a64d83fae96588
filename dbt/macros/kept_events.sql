{# Tables of an event's curves outlive the metrics and rankings they are made of: an event is built when it is new, and anew for a day
   after its release; what is no event any more is removed. #}
{% macro new_or_recent_events(is_incremental) -%}
    {% if is_incremental -%}
    and (
        event.released_at > now() - interval '1 day'
        or not exists (select from {{ this }} as kept where kept.event_id = event.event_id)
    )
    {%- endif %}
{%- endmacro %}

{# An event that goes by another id since earlier evidence was found keeps what can no longer be built. Of several that became one, the
   smallest id's rows stay. #}
{% macro rename_merged_events() -%}
    update {{ this }} as kept
    set event_id = renamed.event_id, seconds_to_release = {{ seconds_between('renamed.released_at', 'kept.bucket_end_at') }}
    from (
        select alias.event_id, min(alias.known_id) as known_id, min(event.released_at) as released_at
        from {{ ref('int_event_alias') }} as alias
        inner join {{ ref('fct_pump_event') }} as event on alias.event_id = event.event_id
        where alias.known_id in (select event_id from {{ this }})
        group by alias.event_id
        having not bool_or(alias.known_id = alias.event_id)
    ) as renamed
    where kept.event_id = renamed.known_id
{%- endmacro %}

{% macro remove_lost_events() -%}
    delete from {{ this }} where event_id not in (select event_id from {{ ref('fct_pump_event') }})
{%- endmacro %}

{# The coin of each event at the ticks of its watch: stg_target_ranking and stg_ranking_tick by event. #}
{% macro ranked_events(is_incremental) -%}
    with event as (
        select event.event_id, event.released_at, event.watch_id, event.exchange, coalesce(result.instrument_id, event.instrument_id) as instrument_id
        from {{ ref('fct_pump_event') }} as event
        left join (
            select distinct on (alias.event_id, result.watch_id) alias.event_id, result.watch_id, result.instrument_id
            from {{ ref('stg_watch_result') }} as result
            inner join {{ ref('int_event_alias') }} as alias on result.event_id = alias.known_id
            where result.instrument_id is not null
            order by alias.event_id, result.watch_id, result.evaluated_at desc
        ) as result on event.event_id = result.event_id and event.watch_id = result.watch_id
        where event.watch_id is not null {{ new_or_recent_events(is_incremental) }}
    ),

    ranked as (
        select event.event_id, event.released_at, tick.score_rule, tick.candidates, ranked.*
        from event
        inner join {{ ref('stg_ranking_tick') }} as tick on event.watch_id = tick.watch_id and event.exchange = tick.exchange
        inner join {{ ref('stg_target_ranking') }} as ranked
            on tick.ranking_id = ranked.ranking_id
            and tick.bucket_end_at = ranked.bucket_end_at
            and event.instrument_id = ranked.instrument_id
    )
{%- endmacro %}
