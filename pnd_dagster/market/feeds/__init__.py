"""Live feeds of exchanges: one thin codec per exchange behind one protocol."""
