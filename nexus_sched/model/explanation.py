"""Why a task is where it is: what clients, command line and pages tell of it, and the words for it.

The one place where a decision becomes a sentence, so that it reads the same everywhere. Spans in milliseconds.
"""

from __future__ import annotations

from msgspec import Struct

from nexus_sched.model.bill import FUNNEL, Bill, BillRow, bill_of, funnel_of
from nexus_sched.model.decision import SchedulingDecision
from nexus_sched.model.overrides import PIN
from nexus_sched.model.settings import DIRECTED, PREDICTIVE
from nexus_sched.units import span_text

LACKS = {
    "taints": "tainted",
    "labels": "lack a label",
    "resources": "lack resources",
    "no credit left": "full",
    "overrides": "kept from it by overrides",
}


class DecisionStory(Struct, frozen=True, kw_only=True):
    """One decision as it was recorded."""

    seq: int  # of its turn in the journal
    index: int  # among the dispatches of that turn
    epoch: int  # of the leader
    at_ms: int
    worker: str
    attempt: int
    policy: str
    waited_ms: float  # in the queue before it
    p50_ms: float | None  # of its run there
    p80_ms: float | None
    basis: str
    confidence: float
    model: str
    version: int
    explored: bool
    settings: str  # digest of the configuration in force
    funnel: dict[str, int]  # see `model.bill.FUNNEL`; empty if reasons were not recorded
    round_robin: str
    bill: Bill | None
    overrides: tuple[str, ...] = ()  # that bound it, by name


class Actual(Struct, frozen=True, kw_only=True):
    """What became of the run that a decision led to."""

    outcome: str
    run_ms: float
    response_ms: float  # from the decision until the scheduler heard of the end
    regret_ms: float | None  # what the best of the others had promised less; negative: it was right. `None`: no others
    alternative: str  # that other worker


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a task waits, or why it went where it went."""

    task_id: str
    type: str
    state: str  # "waiting", "placed", "running", or how it ended
    sentence: str
    tier: str = ""  # of a waiting task: see `model.answer`
    remedies: tuple[str, ...] = ()  # what would change it
    workers: dict[str, int] = {}  # of a live task: the workers of now, by what they are to it
    ahead: int = 0
    ahead_ms: float = 0.0
    eta: dict[str, float | str] = {}
    why_not: str = ""
    overrides: tuple[str, ...] = ()  # that bind it now, or bound its decision
    decision: DecisionStory | None = None
    actual: Actual | None = None
    missing: str = ""  # what is no longer known, and why


def story_of(decision: SchedulingDecision, seq: int, index: int, epoch: int, at_ms: int) -> DecisionStory:
    """A decision for people. Raises `SnapshotUnreadable` if its bill is damaged."""
    why = decision.why
    return DecisionStory(
        seq=seq,
        index=index,
        epoch=epoch,
        at_ms=at_ms,
        worker=decision.worker,
        attempt=decision.attempt,
        policy=decision.policy,
        waited_ms=decision.wait_ms,
        p50_ms=decision.p50_ms,
        p80_ms=decision.p80_ms,
        basis=decision.basis,
        confidence=decision.confidence,
        model=decision.model,
        version=decision.version,
        explored=decision.explored,
        settings="" if why is None else f"{why.settings:016x}",
        funnel={} if why is None else funnel_of(why),
        round_robin="" if why is None else why.round_robin,
        bill=None if why is None else bill_of(why),
        overrides=decision.overrides,
    )


def actual_of(story: DecisionStory, outcome: str, run_ms: float, at_ms: int) -> Actual:
    """What became of it, by the completion that the scheduler heard of at `at_ms`."""
    response_ms = float(max(0, at_ms - story.at_ms))
    other = best_other(story.bill)
    regret_ms = None if other is None else response_ms - other.promised_ms
    return Actual(
        outcome=outcome,
        run_ms=run_ms,
        response_ms=response_ms,
        regret_ms=regret_ms,
        alternative="" if other is None else other.worker,
    )


def best_other(bill: Bill | None) -> BillRow | None:
    """Of the open workers that were not chosen the one that promised the soonest end."""
    others = [] if bill is None else [row for row in bill.rows[1:] if row.is_open]
    return min(others, key=lambda row: row.promised_ms, default=None)


def sentence_of(story: DecisionStory) -> str:
    """Why it went there, in one sentence."""
    placed = f"placed on {story.worker}"
    if story.policy == DIRECTED:
        return f"{placed} because somebody decided so"
    pins = [name for name in story.overrides if f" {PIN}=" in name]
    if pins:  # the last one is the narrowest
        promise = "" if story.bill is None else f": {_promise(story, story.bill.rows[0])}"
        return f"{placed} because an override pins it there ({pins[-1]}){promise}"
    if story.policy != PREDICTIVE:
        return f"{placed} by {story.policy}: {_without(story)}"
    if story.bill is None:
        return f"{placed} by prediction; what it was compared with was not recorded"
    chosen = story.bill.rows[0]
    open_rows = [row for row in story.bill.rows if row.is_open]
    if len(open_rows) == 1:
        return f"{placed}, the only worker that was open to it: {_promise(story, chosen)}"
    least_ms = min(row.total_ms for row in open_rows)
    tied = [row for row in open_rows if row.total_ms <= least_ms + story.bill.margin_ms]
    if chosen in tied and len(tied) > 1:
        return f"{placed}: {_promise(story, chosen)}; {_among_ties(story, chosen, tied)}"
    other = best_other(story.bill)
    if other is not None and other.promised_ms < chosen.promised_ms:
        return f"{placed} because {_despite(chosen, other)}: {_promise(story, chosen)}"
    sooner = "" if other is None else f", {span_text(other.promised_ms - chosen.promised_ms)} sooner than the next best"
    return f"{placed} because it is expected to finish first: {_promise(story, chosen)}{sooner}"


def _without(story: DecisionStory) -> str:
    if story.p50_ms is None:
        return "there was no prediction to go by"
    return "predictions are made, but do not decide"


def _promise(story: DecisionStory, row: BillRow) -> str:
    tail = "" if story.p80_ms is None else f" (p80 {span_text(story.p80_ms)})"
    wait = f"{span_text(row.wait_ms)} wait + " if row.wait_ms > 0.0 else "no wait + "
    return f"{wait}{span_text(row.run_ms)} run{tail}"


def _among_ties(story: DecisionStory, chosen: BillRow, tied: list[BillRow]) -> str:
    count = len(tied) - 1
    others = "one other worker was" if count == 1 else f"{count} other workers on the bill were"
    margin = span_text(story.bill.margin_ms if story.bill is not None else 0.0)
    alike = f"{others} as good to within {margin}{', exploring' if story.explored else ''}"
    if all(chosen.load <= row.load for row in tied) and any(chosen.load < row.load for row in tied):
        return f"{alike}, and this one was the least busy"
    return f"{alike}, and it was this one's turn"


def _despite(chosen: BillRow, other: BillRow) -> str:
    """What made up for an end that is not the soonest."""
    gains = {
        "tasks of its affinity key ran there": other.affinity_ms - chosen.affinity_ms,
        "the task would rather have its labels": other.preferred_ms - chosen.preferred_ms,
        f"runs fail on {other.worker}": other.health_ms - chosen.health_ms,
        f"it came back from {other.worker}": other.avoided_ms - chosen.avoided_ms,
        "its resources fit better": other.fit_ms - chosen.fit_ms,
    }
    reason, gain_ms = max(gains.items(), key=lambda item: item[1])
    later = f"although {other.worker} would finish {span_text(chosen.promised_ms - other.promised_ms)} sooner"
    if gain_ms <= 0.0:
        return f"waiting counts more than running, {later}"
    return f"{reason} (worth {span_text(gain_ms)}), {later}"


def funnel_text(funnel: dict[str, int]) -> str:
    """`1000 workers -> 214 open to it: 601 lack a label, 20 draining`."""
    if not funnel:
        return ""
    rest = [f"{count} {LACKS.get(kind, kind)}" for kind, count in funnel.items() if count and kind not in FUNNEL[:2]]
    workers, open_count = (funnel.get(kind, 0) for kind in FUNNEL[:2])
    plural = "worker" if workers == 1 else "workers"
    return f"{workers} {plural} -> {open_count} open to it" + (f": {', '.join(rest)}" if rest else "")
