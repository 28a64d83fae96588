"""The graph. One module per group; only definitions."""
