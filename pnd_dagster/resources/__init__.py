"""Adapters between Dagster and the domain: the database, the classifier, metadata, plots, checks."""
