"""What a key of the configuration may say of itself besides its type and bounds."""

from __future__ import annotations

DURATION = {"unit": "duration"}
SIZE = {"unit": "size"}
SECRET = {"secret": True}
HOT = {"hot": True}  # takes effect when the configuration is read again

MINUTE_MS = 60_000
DAY_MS = 86_400_000
