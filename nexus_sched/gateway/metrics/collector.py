"""From what is known of a pool to the samples of every metric: each of the table once, whatever there is to tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from nexus_sched.gateway.metrics.catalogue import COUNTER, GAUGE, HISTOGRAM, METRICS, PREFIX, TASK_COUNTERS
from nexus_sched.gateway.metrics.totals import Totals
from nexus_sched.model.frame import Frame
from nexus_sched.model.tallies import Histogram, Tallies
from nexus_sched.units import MS_PER_S

STALE_AFTER_S = 5.0  # a leader paints twice a second
_BREAKERS = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
_FAMILIES = {COUNTER: CounterMetricFamily, GAUGE: GaugeMetricFamily}
# The unit of a histogram in base units, and the exponents of its first and last edge.
BUCKETS: dict[str, tuple[float, int, int]] = {
    "decision_duration_seconds": (1e-9, 12, 28),  # 4 us to 0.27 s
    "time_to_dispatch_seconds": (1e-3, 0, 21),  # 1 ms to 35 minutes
    "queue_wait_seconds": (1e-3, 0, 21),
    "execution_seconds": (1e-3, 0, 24),  # to 4.7 hours
    "prediction_error_ratio": (1e-2, 0, 10),  # 1 % to tenfold
    "redis_commit_duration_seconds": (1e-6, 7, 21),  # 0.13 ms to 2 s
}
Labelled = Mapping[tuple[str, ...], float]


class Own(Struct, frozen=True, kw_only=True):
    """What the gateway knows of itself; a field each for the metrics of the same name."""

    redis_up: bool = False
    loop_lag_s: float = 0.0
    grpc_streams: int = 0
    grpc_reports: int = 0
    grpc_packs: int = 0
    grpc_refused: int = 0
    journal_follower_lag_s: float = 0.0
    spans: int = 0
    canary_at_s: float = 0.0


class PoolCollector(Collector):
    """All metrics of one pool. `look` at the newest pictures, then let Prometheus' client `collect`."""

    def __init__(self, drain_target_s: float) -> None:
        self._drain_target_s = drain_target_s
        self._totals = Totals()
        self._frames: Sequence[Frame] = ()
        self._total: Tallies = self._totals.take(())
        self._own = Own()
        self._now_s = 0.0

    def look(self, frames: Sequence[Frame], own: Own, now_s: float) -> None:
        """The state of this instant; `now_s` is the wall clock's."""
        self._frames, self._own, self._now_s = frames, own, now_s
        self._total = self._totals.take(frames)

    def collect(self) -> Iterator[Family]:
        """Every metric, in the order of the table."""
        plain = {**self._counters(), **self._gauges(), **self._own_values()}
        histograms = self._histograms()
        for name, metric in METRICS.items():
            if metric.kind == HISTOGRAM:
                yield _histogram(name, histograms[name])
            elif metric.kind in _FAMILIES:
                family = _FAMILIES[metric.kind](PREFIX + name, metric.help, labels=metric.labels)
                for labels, value in plain[name].items():
                    family.add_metric(labels, value)
                yield family
            else:
                yield self._info(name)

    def _counters(self) -> dict[str, Labelled]:
        total = self._total
        tasks = {f"tasks_{name}": _one(self._sum(counter)) for name, counter in TASK_COUNTERS.items()}
        return {
            **tasks,
            "predictions": _one(self._sum("predictions")),
            "prediction_within_tolerance": _one(self._sum("predictions_within")),
            "intervals": _one(total.intervals),
            "interval_covered": {(quantile,): count for quantile, count in total.covered.items()},
            "etas": _one(self._sum("etas")),
            "etas_within_tolerance": _one(self._sum("etas_within")),
            "fallback_activations": {(reason,): count for reason, count in total.fallbacks.items()},
            "fallback_decisions": _one(self._sum("fallback")),
            "worker_breaker_transitions": {("open",): self._sum("breakers_opened")},
            "journal_turns": _one(sum(frame.seq for frame in self._frames)),
        }

    def _gauges(self) -> dict[str, Labelled]:
        frames = self._frames
        predicted_s = sum(frame.queued_predicted_ms for frame in frames) / MS_PER_S
        live = sum(frame.workers_live for frame in frames)
        placed = sum(frame.in_flight for frame in frames)
        tallies = [frame.tallies for frame in frames if frame.tallies is not None]
        fresh = [frame for frame in frames if self._now_s - frame.at_ms / MS_PER_S <= STALE_AFTER_S]
        return {
            "backlog_tasks": {("queued",): sum(frame.queued for frame in frames), ("placed",): placed},
            "backlog_predicted_seconds": _one(predicted_s),
            "workers": {("live",): live, ("accepting",): sum(frame.workers_accepting for frame in frames)},
            "desired_workers": _one(self._desired(predicted_s, placed)),
            "prediction_breaker_open": _one(max((_BREAKERS[frame.breaker] for frame in frames), default=0.0)),
            "journal_lag_turns": _one(max((each.journal_lag_turns for each in tallies), default=0)),
            "leaders": _one(len(fresh)),
            "frame_timestamp_seconds": _one(min((frame.at_ms for frame in frames), default=0) / MS_PER_S),
            "event_loop_lag_seconds": {
                ("scheduler",): max((each.loop_lag_ms for each in tallies), default=0.0) / MS_PER_S,
                ("gateway",): self._own.loop_lag_s,
            },
        }

    def _own_values(self) -> dict[str, Labelled]:
        own = self._own
        return {
            "redis_up": _one(own.redis_up),
            "grpc_streams": _one(own.grpc_streams),
            "grpc_reports": _one(own.grpc_reports),
            "grpc_packs": _one(own.grpc_packs),
            "grpc_refused": _one(own.grpc_refused),
            "journal_follower_lag_seconds": _one(own.journal_follower_lag_s),
            "spans": _one(own.spans),
            "canary_timestamp_seconds": _one(own.canary_at_s),
        }

    def _histograms(self) -> dict[str, dict[tuple[str, ...], Histogram]]:
        total = self._total
        return {
            "decision_duration_seconds": {(): total.decision_ns},
            "time_to_dispatch_seconds": {(): total.dispatch_ms},
            "queue_wait_seconds": {(): total.inbox_ms},
            "execution_seconds": {(name,): each for name, each in sorted(total.execution_ms.items())},
            "prediction_error_ratio": {(): total.error_percent},
            "redis_commit_duration_seconds": {(): total.commit_us},
        }

    def _info(self, name: str) -> Family:
        metric = METRICS[name]
        family = InfoMetricFamily(PREFIX + name, metric.help, labels=metric.labels)
        for row in dict.fromkeys((frame.predictor, frame.shadow, frame.mode) for frame in self._frames):
            family.add_metric(row, dict[str, str]())
        return family

    def _sum(self, counter: str) -> int:
        return sum(frame.counters.get(counter, 0) for frame in self._frames)

    def _desired(self, predicted_s: float, placed: int) -> int:
        """Workers of the usual size that keep what is placed, and would work off what waits within the target."""
        slots = [worker.slots for frame in self._frames for worker in frame.workers]
        usual = sum(slots) / len(slots) if slots else 1.0
        return math.ceil((placed + predicted_s / self._drain_target_s) / usual)


def _one(value: float) -> Labelled:
    return {(): value}


def _histogram(name: str, rows: Mapping[tuple[str, ...], Histogram]) -> Family:
    metric = METRICS[name]
    unit, low, high = BUCKETS[name]
    family = HistogramMetricFamily(PREFIX + name, metric.help, labels=metric.labels)
    for labels, histogram in rows.items():
        family.add_metric(labels, buckets_of(histogram, unit, low, high), sum_value=histogram.sum * unit)
    return family


def buckets_of(histogram: Histogram, unit: float, low: int, high: int) -> list[tuple[str, float]]:
    """Cumulative counts by upper edge: 2^low to 2^high of the unit, always the same, and all."""
    counts = [*histogram.counts, *[0] * max(0, high + 1 - len(histogram.counts))]
    edges: list[tuple[str, float]] = []
    seen = sum(counts[:low])
    for index in range(low, high + 1):
        seen += counts[index]
        edges.append((f"{2.0**index * unit:.6g}", seen))
    return [*edges, ("+Inf", sum(counts))]
