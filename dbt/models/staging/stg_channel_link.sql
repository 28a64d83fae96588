select
    from_channel_id, to_channel_id, kind, count, first_count, rarity, expected_count, p_value, is_linked, median_lag_seconds,
    first_at, last_at, computed_at
from {{ source('out', 'channel_links') }}
