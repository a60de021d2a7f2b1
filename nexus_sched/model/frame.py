"""The picture of the state that the leader writes twice a second for everyone who only looks."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from nexus_sched.model.events import EstimatePinned, OverrideAdded
from nexus_sched.model.tallies import Tallies
from nexus_sched.model.worker import WorkerState

STALE_AFTER_MS = 5_000  # a leader writes one twice a second; clocks of machines differ by less
FRAME_WORKERS_MAX = 256  # rows in a frame; the counts beside them are of all workers


class Spread(Struct, frozen=True):
    """Median and tail of a distribution; zero if `count` is."""

    p50: float = 0.0
    p99: float = 0.0
    count: int = 0


class Frame(Struct, frozen=True, kw_only=True):
    """Where a shard stands. Counters are since the shard began, `decision_us` since the mode changed."""

    pool: str
    shard: int
    owner: str
    epoch: int
    seq: int
    at_ms: int
    mode: str
    predictor: str
    breaker: str  # of prediction: "closed", "open" or "half-open"
    queued: int
    in_flight: int
    queued_predicted_ms: float  # predicted work that waits, summed
    workers_live: int
    workers_accepting: int
    counters: dict[str, int]
    decision_us: Spread  # one decision: its turn's time in the engine / decisions in that turn
    turn_us: Spread  # one turn in the engine, whatever it decided
    predictions: int  # finished tasks that had been given a prediction
    predictions_within_25: float | None  # share of them that ran within 25 % of it
    workers: list[WorkerState]
    shadow: str = ""  # the predictor that learns beside the active one
    scores: dict[str, tuple[int, int]] = {}  # predictor -> (runs it had predicted, of them within 25 %)
    pins: list[EstimatePinned] = []
    overrides: list[OverrideAdded] = []
    paused: dict[str, str] = {}  # type of task ("" is the whole pool) -> why
    durability: str = ""  # the level that is promised
    durability_gap: str = ""  # why the server does not keep it, empty if it does or does not say
    alarms: list[str] = []  # what endangers tasks now, a sentence each, with the remedy
    tallies: Tallies | None = None  # not in a picture of several shards
    cells: str = ""  # two characters for each worker, all of them: see `runtime.picture`
    drain_tasks_s: float = 0.0  # tasks a second that are predicted to leave the queue; 0: nothing is known


encode_frame = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder(Frame).decode
