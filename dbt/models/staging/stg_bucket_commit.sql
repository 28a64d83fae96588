select
    exchange, shard, bucket_end_at, watched, blind, book_rows, trade_rows, rejected_frames, duplicates, unusable_books, lag_seconds,
    committed_at
from {{ source('core', 'bucket_commits') }}
