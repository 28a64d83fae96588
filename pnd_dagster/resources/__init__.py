"""Adapters between Dagster and the domain: the database, the classifier, metadata, plots, checks."""

import warnings

import dagster as dg

# Backfill policies and partitioned checks are used knowingly; told at every start, these warnings would hide what matters.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
