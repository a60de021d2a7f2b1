"""The audit trail as a part of the gateway: connected when it is first written, let go at the end."""

from __future__ import annotations

from nexus_sched.config.schema import AuditSection
from nexus_sched.control.signing import read_signer
from nexus_sched.control.trail import Trail
from nexus_sched.gateway.part import Part
from nexus_sched.runtime.ports import AuditStore


class TrailPart(Part):
    """Holds the pool's `trail`. Raises `AuditKeyInvalid` for a key that cannot be used."""

    name = "audit"

    def __init__(self, store: AuditStore, section: AuditSection) -> None:
        self.trail = Trail(store, section.records_max, read_signer(section.key_file))

    async def start(self) -> None:
        """Nothing: the store need not be there yet."""

    async def stop(self) -> None:
        """Let go of the connection."""
        await self.trail.close()

    def problem(self) -> str:
        """Nothing of its own: the store's part tells."""
        return ""
