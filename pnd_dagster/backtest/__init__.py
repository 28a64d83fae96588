"""The ranking on past pumps: pools, draws, TOP-k with intervals, by the code that ranks live."""
