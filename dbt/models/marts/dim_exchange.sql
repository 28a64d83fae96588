with instrument as (
    select exchange, count(*) filter (where valid_to is null) as instrument_count
    from {{ ref('stg_instrument') }}
    group by exchange
),

candidate as (
    select exchange, count(*) filter (where is_candidate) as candidate_count
    from {{ ref('stg_candidate') }}
    where day = (select max(day) from {{ ref('stg_candidate') }})
    group by exchange
),

event as (
    select exchange, count(*) as event_count, min(released_at) as first_event_at, max(released_at) as last_event_at
    from {{ ref('stg_event') }}
    where exchange is not null
    group by exchange
),

bucket as (
    select exchange, max(bucket_end_at) as last_bucket_end_at
    from {{ ref('stg_bucket_commit') }}
    group by exchange
),

known as (
    select exchange from {{ ref('exchanges') }}
    union
    select exchange from instrument
    union
    select exchange from event
    union
    select exchange from bucket
)

select
    known.exchange,
    coalesce(registered.name, known.exchange) as name,
    registered.kind,
    registered.is_defunct,
    coalesce(instrument.instrument_count, 0)::integer as instrument_count,
    coalesce(candidate.candidate_count, 0)::integer as candidate_count,
    coalesce(event.event_count, 0)::integer as event_count,
    event.first_event_at,
    event.last_event_at,
    bucket.last_bucket_end_at
from known
left join {{ ref('exchanges') }} as registered on known.exchange = registered.exchange
left join instrument on known.exchange = instrument.exchange
left join candidate on known.exchange = candidate.exchange
left join event on known.exchange = event.exchange
left join bucket on known.exchange = bucket.exchange
