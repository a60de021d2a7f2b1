"""What is wrong while a leader leads, as sentences for people: in the frame, in `status` and, once each, in the log.

Nothing here stops a leader: at its start it refuses a server on which tasks can be lost, but one that leads and is
stopped serves nobody, and what it holds is in danger all the same. So it goes on and says so until somebody acts.
"""

from __future__ import annotations

import asyncio

import structlog
from msgspec import structs

from nexus_sched.errors import StoreError
from nexus_sched.model.frame import Frame
from nexus_sched.model.store_state import StoreHealth
from nexus_sched.runtime.liveness import MASS_HOLD_S, Heartbeats
from nexus_sched.runtime.ports import LeaderStore

LOOK_EVERY_S = 2.0

log = structlog.get_logger("nexus_sched.scheduler")


class Health:
    """Looks at the server of one shard while it is led from here."""

    def __init__(self, store: LeaderStore) -> None:
        self._store = store
        self._seen = StoreHealth()

    async def watch(self) -> None:
        """Look until cancelled. A server that does not answer is for others to notice."""
        while True:
            try:
                self._note(await self._store.health())
            except StoreError as error:
                log.debug("store not examined", code=error.code)
            await asyncio.sleep(LOOK_EVERY_S)

    def show(self, frame: Frame, heartbeats: Heartbeats) -> Frame:
        """The frame with what is wrong."""
        alarms = list(self._seen.alarms)
        if heartbeats.held:
            alarms.append(
                f"{heartbeats.held} workers fell silent at once: none is given up for {MASS_HOLD_S:g} s; see whether "
                "they can reach the server"
            )
        return structs.replace(frame, durability=self._seen.level, durability_gap=self._seen.gap, alarms=alarms)

    def _note(self, health: StoreHealth) -> None:
        seen, self._seen = self._seen, health
        if health.gap and health.gap != seen.gap:
            log.warning("durability not kept", level=health.level, gap=health.gap)
        for alarm in health.alarms:
            if alarm not in seen.alarms:
                log.error("alarm", detail=alarm)
        for alarm in seen.alarms:
            if alarm not in health.alarms:
                log.info("alarm over", detail=alarm)
