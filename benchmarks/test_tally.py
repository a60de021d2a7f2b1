"""What counting costs the decision process, beside the turn that it counts."""

from __future__ import annotations

from nexus_sched.core.records import Booking, TaskRecord
from nexus_sched.model.events import TaskFinished
from nexus_sched.model.outcome import Outcome
from nexus_sched.runtime.tally import Tally
from nexus_sched.testing.builders import prediction, task

TASKS = 256


def test_counting_a_turn_of_256_ends(benchmark):
    tally, told = Tally(), prediction(100.0)
    names = [f"t{number}" for number in range(TASKS)]
    tasks = {
        name: TaskRecord(task(name, f"type-{number % 20}"), "i:w1", "1-0", booking=Booking(prediction=told))
        for number, name in enumerate(names)
    }
    ends = [(name, 1, "w1", Outcome.SUCCEEDED, 90.0 + number, 1.0, 0) for number, name in enumerate(names)]
    events = [TaskFinished(*fields) for fields in ends]
    benchmark.extra_info["tasks"] = TASKS
    benchmark(tally.before, tasks, events)
