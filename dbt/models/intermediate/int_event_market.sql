-- The one market of an event's symbol on its exchange that was not gone by the release; no row where there are none or several.
select
    event.event_id,
    min(instrument.instrument_id) as instrument_id,
    min(instrument.pair) as pair,
    min(instrument.coin_id) as coin_id,
    bool_and(instrument.valid_from <= event.released_at) as was_market_seen
from {{ ref('stg_event') }} as event
inner join {{ ref('stg_instrument') }} as instrument
    on event.exchange = instrument.exchange
    and event.symbol = instrument.symbol
    and (instrument.valid_to is null or instrument.valid_to > event.released_at)
group by event.event_id
having count(*) = 1
