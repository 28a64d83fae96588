"""Exchanges' markets: instruments, candles, live feeds, and the metrics made of them."""
