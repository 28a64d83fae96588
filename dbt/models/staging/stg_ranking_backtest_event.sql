select * from {{ source('out', 'ranking_backtest_events') }}
