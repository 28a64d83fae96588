"""The pages, in the order of the navigation."""

from dashboards.pages import channels, event, events, models, pipeline, radar

BOARDS = (radar.board, events.board, event.board, channels.board, models.board, pipeline.board)
