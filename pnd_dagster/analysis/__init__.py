"""The paper's tables and figures, computed on what the platform holds, and what goes beyond them."""
