"""Adapters between Dagster and the domain: the database, the classifier, metadata, plots, checks."""

import warnings

import dagster as dg

# Backfill policies are used knowingly; told at every start, the warning would hide what matters.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
