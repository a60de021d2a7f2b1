"""What an acknowledgement is worth: the level that a shard promises, and what makes it true.

`strict`: the server writes and syncs its file before it answers, so a power cut loses nothing. `replicated`: a replica
has it, too, so a promotion loses nothing. `relaxed`: the server's memory has it, and its file within a second.
docs/reliability.md says what each does not survive, with figures.
"""

from __future__ import annotations

from msgspec import Struct

STRICT, REPLICATED, RELAXED = "strict", "replicated", "relaxed"
LEVELS = (STRICT, REPLICATED, RELAXED)
REPLICA_TIMEOUT_MS_DEFAULT = 500


class Durability(Struct, frozen=True):
    """The level of a shard. Whoever leads writes it into the shard's record, so that all others act alike."""

    level: str = STRICT
    replica_timeout_ms: int = REPLICA_TIMEOUT_MS_DEFAULT  # what a replica may take, if it is waited for

    @property
    def wait_ms(self) -> int:
        """How long a write waits for a replica, 0 for not at all."""
        return self.replica_timeout_ms if self.level == REPLICATED else 0
