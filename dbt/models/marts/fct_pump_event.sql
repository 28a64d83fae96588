{{ config(indexes=[{'columns': ['event_id'], 'unique': true}, {'columns': ['released_at']}]) }}

with standing as (
    select
        alias.event_id,
        result.watch_id,
        {% for offset in [20, 40, 60, 300] -%}
        (array_agg(result.rank order by result.evaluated_at desc) filter (where result.offset_seconds = {{ offset }}))[1]
            as rank_{{ offset }}s,
        {% endfor -%}
        (array_agg(result.candidates order by result.offset_seconds) filter (where result.candidates is not null))[1] as ranked_coins
    from {{ ref('stg_watch_result') }} as result
    inner join {{ ref('int_event_alias') }} as alias on result.event_id = alias.known_id
    group by alias.event_id, result.watch_id
),

announced as (
    select event.event_id, min(announcement.announced_at) as first_announced_at
    from (select event_id, unnest(announcement_ids) as announcement_id from {{ ref('stg_event') }}) as event
    inner join {{ ref('stg_announcement') }} as announcement on event.announcement_id = announcement.announcement_id
    group by event.event_id
),

detected as (
    select event.event_id, min(detection.detected_at) as first_detected_at
    from {{ ref('stg_event') }} as event
    inner join {{ ref('stg_detected_pump') }} as detection
        on event.exchange = detection.exchange
        and event.symbol = detection.symbol
        and detection.detected_at between event.released_at - interval '15 minutes' and event.released_at + interval '15 minutes'
    group by event.event_id
),

subject as (
    select event_id, known_id as subject_id from {{ ref('int_event_alias') }}
    union
    select event_id, pump_id from {{ ref('int_event_pump') }}
    union
    select event_id, watch_id from {{ ref('int_event_watch') }}
    union
    select event_id, unnest(announcement_ids) from {{ ref('stg_event') }}
),

alert as (
    select subject.event_id, count(distinct alert.alert_id) as alert_count
    from subject
    inner join {{ ref('stg_alert') }} as alert on subject.subject_id = alert.subject_id
    group by subject.event_id
),

channel as (
    select event.event_id, array_agg(coalesce(title.display_title, event.channel_id::text) order by event.place) as channel_titles
    from (
        select event_id, channel_id, place
        from {{ ref('stg_event') }}
        cross join unnest(channel_ids) with ordinality as released (channel_id, place)
    ) as event
    left join {{ ref('int_channel_title') }} as title on event.channel_id = title.channel_id
    group by event.event_id
),

candle as (
    select distinct exchange, pair from {{ ref('stg_candle') }}
),

event as (
    select
        event.*,
        {{ utc_day('event.released_at') }} as released_on,
        market.instrument_id,
        market.was_market_seen,
        coalesce(market.pair, candle.pair) as pair,
        market.coin_id
    from {{ ref('stg_event') }} as event
    left join {{ ref('int_event_market') }} as market on event.event_id = market.event_id
    left join candle on event.exchange = candle.exchange and event.symbol || '/USDT' = candle.pair
)

select
    event.event_id,
    event.paper_event_key,
    event.exchange,
    event.symbol,
    event.quote,
    event.released_at,
    event.released_on,
    date_trunc('month', event.released_on::timestamp)::date as released_month,
    event.last_released_at,
    event.confidence,
    event.channel_count,
    event.evidence_count,
    event.channel_ids,
    coalesce(channel.channel_titles, array[]::text[]) as channel_titles,
    event.channel_ids[1] as first_channel_id,
    pump.pump_id is not null or cardinality(event.announcement_ids) > 0 as was_announced,
    pump.pump_id,
    announced.first_announced_at,
    case when pump.has_time then pump.scheduled_at end as scheduled_at,
    {{ seconds_between('announced.first_announced_at', 'event.released_at') }} as announced_lead_seconds,
    case when pump.has_time then {{ seconds_between('pump.scheduled_at', 'event.released_at') }} end as start_delay_seconds,
    watched.watch_id,
    event.instrument_id,
    event.was_market_seen,
    event.pair,
    event.coin_id,
    coin.name as coin_name,
    coin.token_standard,
    candidate.market_cap_usd,
    candidate.cap_source,
    candidate.is_candidate,
    day_candle.day is not null as has_candle,
    (row_number() over (partition by event.symbol order by event.released_at, event.event_id) - 1)::integer as previous_event_count,
    standing.rank_20s,
    standing.rank_40s,
    standing.rank_60s,
    standing.rank_300s,
    standing.ranked_coins,
    detected.first_detected_at,
    coalesce(alert.alert_count, 0)::integer as alert_count
from event
left join channel on event.event_id = channel.event_id
left join {{ ref('int_event_pump') }} as pump on event.event_id = pump.event_id
left join announced on event.event_id = announced.event_id
left join {{ ref('int_event_watch') }} as watched on event.event_id = watched.event_id
left join standing on event.event_id = standing.event_id and watched.watch_id = standing.watch_id
left join {{ ref('stg_coin') }} as coin on event.coin_id = coin.coin_id
left join {{ ref('stg_candidate') }} as candidate
    on event.instrument_id = candidate.instrument_id and event.released_on = candidate.day
left join {{ ref('stg_candle') }} as day_candle
    on event.exchange = day_candle.exchange and event.pair = day_candle.pair and event.released_on = day_candle.day
left join detected on event.event_id = detected.event_id
left join alert on event.event_id = alert.event_id
