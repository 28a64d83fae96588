select
    instrument.instrument_id,
    instrument.exchange,
    instrument.symbol as pair,
    instrument.base_symbol as symbol,
    instrument.is_derivative,
    instrument.valid_from,
    instrument.valid_to,
    link.coin_id
from {{ source('core', 'instruments') }} as instrument
left join {{ source('core', 'coin_links') }} as link on instrument.instrument_id = link.instrument_id
