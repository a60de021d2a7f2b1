"""The pictures of all shards of a pool as one picture.

Counts are sums. Where a sum means nothing, the worst of all stands: the oldest instant, the highest tail, the breaker
that is furthest open. Medians are averaged by how much each counted, which is only near the median of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nexus_sched.model.events import EstimatePinned, OverrideAdded
from nexus_sched.model.frame import FRAME_WORKERS_MAX, Frame, Spread
from nexus_sched.model.overrides import TASK, key_of

BREAKERS = ("closed", "half-open", "open")  # from well to ill
ALL_SHARDS = -1  # stands for the number of a shard


def merge_frames(frames: Sequence[Frame]) -> Frame:
    """One picture of several shards; at least one must be given, and one alone is given back as it is."""
    if len(frames) == 1:
        return frames[0]
    first, predictions = frames[0], sum(frame.predictions for frame in frames)
    within = sum((frame.predictions_within_25 or 0.0) * frame.predictions for frame in frames)
    counters: Counter[str] = Counter()
    scores: dict[str, tuple[int, int]] = {}
    for frame in frames:
        counters.update(frame.counters)
        for name, (runs, hits) in frame.scores.items():
            before = scores.get(name, (0, 0))
            scores[name] = (before[0] + runs, before[1] + hits)
    return Frame(
        pool=first.pool,
        shard=ALL_SHARDS,
        owner=_said(frame.owner for frame in frames),
        epoch=max(frame.epoch for frame in frames),
        seq=sum(frame.seq for frame in frames),
        at_ms=min(frame.at_ms for frame in frames),
        mode=_said(frame.mode for frame in frames),
        predictor=_said(frame.predictor for frame in frames),
        breaker=max((frame.breaker for frame in frames), key=BREAKERS.index),
        queued=sum(frame.queued for frame in frames),
        in_flight=sum(frame.in_flight for frame in frames),
        queued_predicted_ms=sum(frame.queued_predicted_ms for frame in frames),
        workers_live=sum(frame.workers_live for frame in frames),
        workers_accepting=sum(frame.workers_accepting for frame in frames),
        counters=dict(counters),
        decision_us=_spread([frame.decision_us for frame in frames]),
        turn_us=_spread([frame.turn_us for frame in frames]),
        predictions=predictions,
        predictions_within_25=within / predictions if predictions else None,
        workers=[worker for frame in frames for worker in frame.workers][:FRAME_WORKERS_MAX],
        shadow=_said(frame.shadow for frame in frames),
        scores=scores,
        pins=_pins(frames),
        overrides=_overrides(frames),
        durability=_said(frame.durability for frame in frames),
        durability_gap=_said(frame.durability_gap for frame in frames),
        alarms=list(dict.fromkeys(alarm for frame in frames for alarm in frame.alarms)),
        paused={task_type: why for frame in reversed(frames) for task_type, why in frame.paused.items()},
        cells="".join(frame.cells for frame in frames),
        drain_tasks_s=sum(frame.drain_tasks_s for frame in frames),
    )


def _said(texts: Iterable[str]) -> str:
    """What all say, each once, in the order of the shards."""
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _spread(spreads: Sequence[Spread]) -> Spread:
    count = sum(spread.count for spread in spreads)
    if not count:
        return Spread()
    p50 = sum(spread.p50 * spread.count for spread in spreads) / count
    return Spread(p50, max(spread.p99 for spread in spreads), count)


def _pins(frames: Sequence[Frame]) -> list[EstimatePinned]:
    """What is in force in all shards, with the span of the first that ends."""
    found = []
    for pin in frames[0].pins:
        same = [other for frame in frames for other in frame.pins if other.task_type == pin.task_type]
        if len(same) == len(frames):
            found.append(min(same, key=lambda other: other.until_ms))
    return found


def _overrides(frames: Sequence[Frame]) -> list[OverrideAdded]:
    """The same of overrides of placement: for a type those in force in all shards, for a task those of its own."""
    found = []
    for override in (each for frame in frames for each in frame.overrides):
        same = [each for frame in frames for each in frame.overrides if key_of(each) == key_of(override)]
        if override.scope == TASK or (same[0] is override and len(same) == len(frames)):
            found.append(min(same, key=lambda each: each.until_ms))
    return found
