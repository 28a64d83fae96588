"""Alerts: what is said at each stage of a pump, and the outbox it waits in until it is delivered."""
