"""Simulated exchanges: a loopback server that speaks the wire formats of the five real ones."""
