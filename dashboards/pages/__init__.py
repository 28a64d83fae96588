"""The pages, in the order of the navigation."""

from dashboards.pages import channels, coins, event, events, models, outcomes, pipeline, radar

BOARDS = (
    *(radar.board, events.board, event.board, outcomes.board),
    *(channels.board, coins.board, models.board, pipeline.board),
)
