"""What a message says: normalised text, and its label among the paper's six classes."""
