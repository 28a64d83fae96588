"""Which coin an instrument trades, and which instruments are watched."""
