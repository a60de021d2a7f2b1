"""What a run is worth: one verdict, the same for all scenarios."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Recovery(Struct, frozen=True):
    """Seconds from a fault (for one that lasts: from its end) until tasks move again; `None` if none was timed."""

    p50: float | None
    max: float | None


class Verdict(Struct, kw_only=True):
    """`good` means: nothing lost, accepted twice, stuck or inconsistent."""

    scenario: str
    server: str
    durability: str
    faults: int  # that took effect
    acknowledged: int
    lost: int
    accepted_twice: int
    re_executed: int
    re_executed_elsewhere: int  # of those, begun before on a process that nobody had killed or paused
    dead_letters: int  # ended with a stated reason and without a result, other than these:
    not_repeated: int  # tasks with `retry = "never"` that had been started, and whose run was lost
    started_twice: int  # of those with `retry = "never"`
    submitted_twice: int  # by two clients at the same time
    run_as_two: int  # of these, run more often than the death of a worker explains
    stuck: int
    fsck: int
    journal_gaps: int
    digest_equal: bool
    turns: int
    recovery_s: Recovery
    drained_s: float
    unsynced_bytes: int  # that power cuts have taken from the server's files
    findings: list[str]  # in words, the first of each kind

    @property
    def good(self) -> bool:
        """Whether the promise held."""
        wrong = self.lost + self.accepted_twice + self.stuck + self.fsck + self.journal_gaps
        wrong += self.started_twice + self.run_as_two
        return wrong == 0 and self.digest_equal and self.faults > 0


def recovery(spans_s: Sequence[float]) -> Recovery:
    """Median and maximum of what was measured."""
    if not spans_s:
        return Recovery(None, None)
    ordered = sorted(spans_s)
    return Recovery(round(ordered[len(ordered) // 2], 3), round(ordered[-1], 3))
