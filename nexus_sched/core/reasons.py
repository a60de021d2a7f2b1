"""What is recorded with a decision of why it fell as it did: the funnel, the bill, and what round robin would do.

Law: it follows from the state at the decision and from nothing else, and it changes nothing. So it must be asked for
right after the choice, before anything is booked.

Cost: the bill some 0.3 us at 1000 workers; the funnel nothing for tasks that may run anywhere, one pass for others.
Round robin is taken as what people run today: it sends the n-th task to the n-th worker, whatever that holds.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import msgspec

from nexus_sched._kernel.bill import ROWS_MAX, in_turn
from nexus_sched._kernel.digest import digest64
from nexus_sched.core.roster import Roster
from nexus_sched.core.scoring import Scoring
from nexus_sched.model.bill import Why
from nexus_sched.model.settings import ROUND_ROBIN, EngineSettings
from nexus_sched.model.task import Task

if TYPE_CHECKING:
    from nexus_sched.core.placement import Choice

_encode = msgspec.msgpack.Encoder().encode


class Reasons:
    """Writes down why. It keeps nothing but the configuration."""

    def __init__(self, roster: Roster, scoring: Scoring, settings: EngineSettings) -> None:
        self._roster = roster
        self._scoring = scoring
        self.promised_ms = inf  # when the best of the others would have been done, by the last choice
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Take over a configuration."""
        self._top = min(settings.explain_top, ROWS_MAX)
        self._settings_digest = digest64(_encode(settings))

    def of(self, task: Task, choice: Choice, turn: int) -> Why | None:
        """Why this choice has just been made; `turn` counts the tasks that were handed out before."""
        self.promised_ms = inf
        if self._top <= 0:
            return None
        roster, scoring = self._roster, self._scoring
        if choice.score_ms is not None:
            written, candidates, round_robin, self.promised_ms = scoring.written_bill(
                choice.worker.row, self._top, turn
            )
            extra_ms = scoring.extra_ms
        else:
            written, candidates, round_robin = b"", (), ""  # no scores were compared
            extra_ms = scoring.extra_column(task)
            if choice.policy != ROUND_ROBIN:
                round_robin = in_turn(roster.table, extra_ms, turn)
        if extra_ms is None:
            open_count = roster.table.open_count
            counts = (len(roster.ring), open_count, 0, 0, 0, *roster.aside, roster.accepting_count - open_count)
        else:
            counts = scoring.eligibility.counts(extra_ms)
            if not counts[-1]:  # no override kept anybody from it: as versions write it that know none
                counts = counts[:-1]
        return Why(counts, written, candidates, round_robin, self._settings_digest)
