"""What is measured: the fleet, the rates, how long and how often."""

from __future__ import annotations

from msgspec import Struct

SATURATION = 0.0  # stands for "as fast as it goes"; the producer then keeps `outstanding` tasks unstarted
TASK_TYPE = "bench.noop"


class Options(Struct, frozen=True, kw_only=True):
    """The command line."""

    rates: tuple[float, ...] = (100.0, 1000.0, SATURATION)  # tasks/s
    duration_s: float = 5.0  # of one measurement; the warm-up before it comes on top
    warm_up_s: float = 1.0
    repeats: int = 3
    workers: int = 1000
    slots: int = 4  # of each worker
    outstanding: int = 6000  # tasks submitted and not started, at saturation
    server: str = "valkey"  # or "redis"
    fsync: str = "everysec"
    profile: str = ""  # directory for cProfile output of scheduler and fleet; slows both down
