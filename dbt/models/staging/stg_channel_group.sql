select channel_id, group_id, group_size, copied_count, was_copied_count
from {{ source('out', 'channel_groups') }}
