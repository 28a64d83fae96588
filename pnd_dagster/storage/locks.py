"""Numbers of the advisory locks: who shares a number waits for each other, so each purpose has its own."""

from __future__ import annotations

UPGRADE, PARTITIONS, INSTRUMENTS, LLM_BATCH, EVENT_BUILD, ROLLUPS, ROLES, MARTS = range(8_144_211, 8_144_219)
