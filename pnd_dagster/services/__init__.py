"""Long-running compositions of the domain packages: each runs until it is told to stop."""
