"""What a run is asked to do, and why one cannot be done."""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.durability import RELAXED, REPLICATED, STRICT

LEASE_S = 1.0  # shorter than the default of three, so that a run has time for more faults
FSYNC = {STRICT: "always", REPLICATED: "everysec", RELAXED: "everysec"}


class Options(Struct, frozen=True, kw_only=True):
    """One run. The same seed gives the same choices, not the same timing: the processes are real."""

    scenario: str
    faults: int = 5
    seed: int = 1
    server: str = "valkey"
    durability: str = STRICT
    workers: int = 4
    slots: int = 8
    rate: int = 100  # tasks/s
    drain_timeout_s: float = 60.0
    inspect_live: bool = True  # ask fsck while the shard is led, too
    evidence: str = ""  # folder for the logs and the journal of a run that is not good; empty: they go with it


class Skipped(Exception):
    """This scenario cannot be run here; the message says why."""


class Stuck(Exception):
    """Something did not happen in time; the message says what."""
