"""From the trails of one half to its figures."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from nexus_sched.demo.fleet import WorkerProfile
from nexus_sched.demo.ledger import Ledger, Trail
from nexus_sched.demo.options import DemoOptions
from nexus_sched.demo.quantiles import Tails, quantiles, share_within, tails, variation, variation_by_group
from nexus_sched.demo.report import HalfReport, Overhead, Utilisation
from nexus_sched.units import NS_PER_MS

TOLERANCE = 0.25  # a prediction is right if it is this close, relative to what happened


def measure_half(
    mode: str, ledger: Ledger, fleet: Sequence[WorkerProfile], options: DemoOptions, decision_us: Tails
) -> HalfReport:
    """The figures of a half whose records have all been read."""
    trails = list(ledger.trails.values())
    ran = [trail for trail in trails if trail.ran and trail.submitted_ns > 0]
    waits_ms = [(trail.begun_ns - trail.submitted_ns) / NS_PER_MS for trail in ran]
    by_type: defaultdict[str, list[float]] = defaultdict(list)
    for trail in ran:
        by_type[trail.task.task_type].append((trail.ended_ns - trail.submitted_ns) / NS_PER_MS)
    predicted = [
        (trail.predicted_ms, (trail.ended_ns - trail.begun_ns) / NS_PER_MS)
        for trail in ran
        if trail.predicted_ms is not None
    ]
    begin_ns = min((trail.submitted_ns for trail in trails if trail.submitted_ns > 0), default=0)
    end_ns = max((trail.ended_ns for trail in ran), default=begin_ns)
    return HalfReport(
        mode=mode,
        submitted=ledger.submitted,
        finished=sum(trail.finished for trail in trails),
        lost=sum(trail.submitted_ns > 0 and not (trail.finished and trail.ran) for trail in trails),
        duplicated=sum(trail.begun > 1 or trail.announced > 1 for trail in trails),
        wait_ms=quantiles(waits_ms),
        response_ms=quantiles(value for values in by_type.values() for value in values),
        submit_to_start_ms=tails(waits_ms),
        dispatch_overhead_ms=dispatch_overhead(ran, options.slots),
        utilisation=utilisation(ran, [worker.name for worker in fleet], options, begin_ns),
        type_cv=variation_by_group(by_type),
        predictions_within_25=share_within(predicted, TOLERANCE),
        predicted=len(predicted),
        policies=dict(sorted(ledger.policies.items())),
        decision_us=decision_us,
        makespan_s=(end_ns - begin_ns) / NS_PER_MS / 1_000.0,
    )


def utilisation(ran: Iterable[Trail], workers: Sequence[str], options: DemoOptions, begin_ns: int) -> Utilisation:
    """How evenly the workers were busy while tasks arrived; the time after the last arrival is left out."""
    until_ns = begin_ns + round(options.duration_s * 1_000.0 * NS_PER_MS)
    busy_ns = dict.fromkeys(workers, 0)
    for trail in ran:
        busy_ns[trail.worker] += max(0, min(trail.ended_ns, until_ns) - max(trail.begun_ns, begin_ns))
    slot_ns = options.slots * (until_ns - begin_ns)
    shares = [spent / slot_ns for spent in busy_ns.values()] if slot_ns > 0 else []
    if not shares:
        return Utilisation(None, None, None, None, None)
    return Utilisation(
        mean=math.fsum(shares) / len(shares),
        cv=variation(shares),
        spread=max(shares) - min(shares),
        lowest=min(shares),
        highest=max(shares),
    )


def dispatch_overhead(ran: Iterable[Trail], slots: int) -> Overhead:
    """What the way through submission, decision and inbox costs where nothing had to be waited for.

    Only tasks count that could have started at once where they ran: their worker had a free slot, and no
    earlier task of it was waiting.
    """
    by_worker: defaultdict[str, list[Trail]] = defaultdict(list)
    for trail in ran:
        by_worker[trail.worker].append(trail)
    direct_ms: list[float] = []
    for trails in by_worker.values():
        submits = sorted(trail.submitted_ns for trail in trails)
        begins = sorted(trail.begun_ns for trail in trails)
        ends = sorted(trail.ended_ns for trail in trails)
        for trail in trails:
            begun = bisect_right(begins, trail.submitted_ns)
            running = begun - bisect_right(ends, trail.submitted_ns)
            waiting = bisect_left(submits, trail.submitted_ns) - begun
            if running < slots and waiting <= 0:
                direct_ms.append((trail.begun_ns - trail.submitted_ns) / NS_PER_MS)
    found = tails(direct_ms)
    return Overhead(found.p50, found.p99, len(direct_ms))
