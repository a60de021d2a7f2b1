"""One number for the state of an engine, so that two of them can be compared without sending either."""

from __future__ import annotations

import msgspec

from nexus_sched._kernel.digest import digest64
from nexus_sched.core.state import EngineState

_encode = msgspec.msgpack.Encoder().encode


def digest_of(engine: EngineState) -> int:
    """64 bit over what decisions depend on. Costs a snapshot of the tables: for every 1024th turn."""
    placement, forecasts = engine.placement, engine.forecasts
    scalars = (
        engine.seq,
        engine.epoch,
        len(engine.tasks),
        len(engine.backlog),
        repr(engine.backlog.snapshot()),
        tuple(engine.reservations.snapshot()),
        placement.mode,
        placement.rotation,
        placement.round_robin.position,
        placement.least_outstanding.position,
        forecasts.active.name,
        forecasts.breaker.snapshot(),
        forecasts.scoring_failed,
        "" if forecasts.shadow is None else forecasts.shadow.name,
        sorted((pin.task_type, repr(pin)) for pin in forecasts.pins.values()),
        tuple(engine.retracts),
        repr(engine.ejection.snapshot()),
        tuple(engine.cordons),
        (tuple(engine.late), engine.next_look_ms, engine.look_wanted),
        tuple(
            (worker.name, repr(worker.drift), repr(worker.slowed))
            for worker in engine.roster.ring
            if worker.drift is not None or worker.slowed is not None
        ),
        sorted(engine.counters.items()),
        engine.etas.scalars(),
        repr(engine.requests.usages),
        tuple(
            (worker.name, worker.factor, worker.doubt, worker.pace, repr(worker.used)) for worker in engine.roster.ring
        ),
        engine.roster.typical,
        digest64(_encode(placement.scoring.affinity.snapshot())),
    )
    seed = digest64(repr(scalars).encode(), forecasts.digest())
    return engine.roster.table.digest(seed)
