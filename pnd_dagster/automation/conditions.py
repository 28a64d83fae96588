"""Automation conditions. They are edges, never levels: a condition that stays true would start runs without end."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

# Dagster cannot see what services write, so labelling looks for unlabelled revisions on a clock, today and yesterday.
LABEL_WHAT_SERVICES_WROTE = (
    dg.AutomationCondition.cron_tick_passed("*/15 * * * *")
    & dg.AutomationCondition.in_latest_time_window(timedelta(days=2))
    & ~dg.AutomationCondition.in_progress()
).with_label("every 15 minutes, today and yesterday")

# `on_cron` would wait until every day of messages upstream is updated, which never happens.
DAILY_AT_TWO = (dg.AutomationCondition.cron_tick_passed("0 2 * * *") & ~dg.AutomationCondition.in_progress()).with_label("daily at 02:00")

# `eager` would wait until no partition upstream is missing, which for a history with gaps is never.
AFTER_NEW_LABELS = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("after new labels")
