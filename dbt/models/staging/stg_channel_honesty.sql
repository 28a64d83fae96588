select channel_id, kept_ratio, promised_median_ratio, realised_median_ratio, outcome_count, late_buyer_median_ratio
from {{ source('out', 'channel_honesty') }}
