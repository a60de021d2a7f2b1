"""What the gateway consists of: parts that are started in order and stopped in the opposite one."""

from __future__ import annotations

from typing import Protocol


class Part(Protocol):
    """One thing that the gateway does. Nothing of it runs before `start` or after `stop`."""

    @property
    def name(self) -> str:
        """What people call it, in logs and in the answer of `/readyz`."""

    async def start(self) -> None:
        """Returns once it serves. Raises a `NexusError` if it never will."""

    async def stop(self) -> None:
        """Ends it in order, within a second or two. Never raises."""

    def problem(self) -> str:
        """Why it cannot serve now, in a sentence; empty if it can."""
