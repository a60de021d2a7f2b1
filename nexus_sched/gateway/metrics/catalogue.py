"""Every metric: its name, kind, labels and meaning, as data. The page of the documentation is written from this table.

Laws
* Base units (seconds, tasks, ratios), counters end in `_total`, no label whose values are many: never a worker, and at
  most `TYPES_MAX` task types besides `other`.
* A name is never reused for something else.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "nexus_sched_"
COUNTER, GAUGE, HISTOGRAM, INFO = "counter", "gauge", "histogram", "info"


class Metric(NamedTuple):
    """One metric. A counter's `_total` is not part of its name, nor is an info's `_info`."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The name as it is scraped."""
        return PREFIX + self.name + {COUNTER: "_total", INFO: "_info"}.get(self.kind, "")


_TASKS = {
    "submitted": "Tasks that were accepted into the queue.",
    "dispatched": "Tasks handed to a worker, again and again counted.",
    "finished": "Runs that succeeded.",
    "failed": "Runs that ended otherwise and are not repeated.",
    "dead": "Tasks that became dead letters.",
    "cancelled": "Tasks that were cancelled.",
    "reclaimed": "Dispatched tasks that came back into the queue.",
    "refused": "Entries that could not be understood.",
    "late": "Results that were accepted after their task had been taken back.",
    "moves": "Unstarted tasks that were taken back to be placed better.",
    "preempted": "Runs that gave way to a more urgent task.",
    "copies": "Second runs of tasks that took too long.",
    "lost": "Tasks whose record has vanished from the store.",
}
TASK_COUNTERS = {name: ("vanished" if name == "lost" else name) for name in _TASKS}  # metric -> counter of the engine

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("decision_duration_seconds", HISTOGRAM, "Time in the engine for one decision."),
        Metric("time_to_dispatch_seconds", HISTOGRAM, "From the submission of a task to its dispatch."),
        Metric("queue_wait_seconds", HISTOGRAM, "How long a task lay in its worker's inbox before it was started."),
        Metric("execution_seconds", HISTOGRAM, "Service time of runs that succeeded.", ("type",)),
        *(Metric(f"tasks_{name}", COUNTER, text) for name, text in _TASKS.items()),
        Metric("backlog_tasks", GAUGE, "Tasks that have not ended: they wait in the queue, or are placed.", ("stage",)),
        Metric("backlog_predicted_seconds", GAUGE, "Predicted work of what waits in the queue."),
        Metric("workers", GAUGE, "Live workers: all of them, and those that take tasks.", ("standing",)),
        Metric("desired_workers", GAUGE, "Workers that would drain the queue within `metrics.drain_target`."),
        Metric("predictions", COUNTER, "Runs that had been predicted."),
        Metric("prediction_within_tolerance", COUNTER, "Those that were within 25 % of it."),
        Metric("prediction_error_ratio", HISTOGRAM, "|predicted - measured| / measured of runs."),
        Metric("intervals", COUNTER, "Runs that had been promised quantiles."),
        Metric("interval_covered", COUNTER, "Those that took no longer than the quantile had promised.", ("level",)),
        Metric("etas", COUNTER, "Estimates that people were told and that have come true or not."),
        Metric("etas_within_tolerance", COUNTER, "Those that were within 25 %."),
        Metric("predictor", INFO, "Who predicts.", ("predictor", "shadow", "mode")),
        Metric("fallback_activations", COUNTER, "How often prediction was stepped down from.", ("reason",)),
        Metric("fallback_decisions", COUNTER, "Decisions that were made without a prediction."),
        Metric("prediction_breaker_open", GAUGE, "1 while prediction is not asked, 0.5 while it is tried again."),
        Metric("worker_breaker_transitions", COUNTER, "Breakers of workers that opened.", ("to",)),
        Metric("redis_up", GAUGE, "1 while the store answers this gateway."),
        Metric("redis_commit_duration_seconds", HISTOGRAM, "From a commit to its answer, as the scheduler sees it."),
        Metric("journal_turns", COUNTER, "Turns in the journal."),
        Metric("journal_lag_turns", GAUGE, "Turns that are decided and not confirmed by the store yet."),
        Metric("event_loop_lag_seconds", GAUGE, "How late an event loop was the last time it looked.", ("process",)),
        Metric("leaders", GAUGE, "Shards whose scheduler has painted its state lately."),
        Metric("frame_timestamp_seconds", GAUGE, "When the oldest of the newest pictures of the shards was painted."),
        Metric("grpc_streams", GAUGE, "Report streams that are open at this gateway."),
        Metric("grpc_reports", COUNTER, "Capacity reports that this gateway took."),
        Metric("grpc_packs", COUNTER, "Calls by which it wrote them."),
        Metric("grpc_refused", COUNTER, "Calls and streams that this gateway had no room for."),
        Metric("journal_follower_lag_seconds", GAUGE, "How far the tracer of this gateway is behind the journal."),
        Metric("spans", COUNTER, "Spans that this gateway has made."),
        Metric("canary_timestamp_seconds", GAUGE, "When a task that this gateway sent last came through every stage."),
    )
}
