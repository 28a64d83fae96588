"""Which coin stands out: windows against their history, scores, ranks, and why."""
