-- LunarCrush's last snapshot of each coin and UTC day. The coin's id is LunarCrush's own.
select distinct on (coin_id, {{ utc_day('snapshot_at') }})
    coin_id as lunarcrush_id,
    {{ utc_day('snapshot_at') }} as day,
    upper(symbol) as symbol,
    lower(name) as name,
    interactions,
    social_dominance,
    sentiment,
    posts_created,
    contributors,
    galaxy_score,
    snapshot_at
from {{ source('raw', 'lunarcrush_snapshots') }}
order by coin_id, {{ utc_day('snapshot_at') }}, snapshot_at desc
