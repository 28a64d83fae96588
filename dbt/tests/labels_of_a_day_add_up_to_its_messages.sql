select channel_id, day
from {{ ref('fct_message_daily') }}
where message_count <> announcement_count + countdown_count + release_count + result_count + delay_count + noise_count + unlabelled_count
