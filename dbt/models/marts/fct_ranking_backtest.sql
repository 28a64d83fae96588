{{ config(materialized='view') }}

select
    ours.data,
    ours.is_synthetic,
    ours.pool,
    ours.source,
    ours.rule,
    ours.offset_seconds,
    ours.n,
    ours.pool_size,
    ours.active_coins::double precision as active_coins,
    ours.top1,
    ours.top3,
    ours.top5,
    ours.top5_low,
    ours.top5_high,
    ours.top10,
    ours.mrr,
    ours.mean_percentile,
    paper.paper_n,
    paper.paper_top5,
    paper.paper_top10,
    ours.computed_at
from {{ ref('stg_ranking_backtest') }} as ours
left join {{ ref('paper_ranking') }} as paper on ours.source = paper.source and ours.offset_seconds = paper.offset_seconds
