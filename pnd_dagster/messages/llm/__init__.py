"""A language model as labeller: prompts, requests within a budget, replies that are believed only if they fit schema and text."""
