select
    detection_id, exchange, symbol, instrument_id, detected_at, volume_z::double precision as volume_z,
    trades_z::double precision as trades_z, price_change::double precision as price_change, reason, pump_id
from {{ source('out', 'detected_pumps') }}
