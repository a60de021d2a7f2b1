"""What plug-ins remember is bounded: the newest runs of every type, the recent times of what still runs."""

from __future__ import annotations

from nexus_sched.plugins import collected, recent
from nexus_sched.plugins.collected import RUNS_MAX, RUNS_PER_TYPE_MAX, Collected
from nexus_sched.plugins.recent import RecentTimes
from nexus_sched.plugins.runs import TrainingRun


def run(task_type: str, number: int) -> TrainingRun:
    return TrainingRun(task_type, 0.0, "w", "", 1.0, number, number)


def test_collection_keeps_the_newest_runs_of_a_busy_type_and_all_of_a_rare_one():
    kept = Collected([run("rare", 0), *(run("busy", number) for number in range(2 * RUNS_PER_TYPE_MAX))])
    assert len(kept) == RUNS_PER_TYPE_MAX + 1
    assert kept.runs()[:2] == [run("rare", 0), run("busy", RUNS_PER_TYPE_MAX)]


def test_collection_lets_types_go_that_ran_longest_ago():
    kept = Collected(run(f"type-{number}", number) for number in range(RUNS_MAX + 100))
    assert len(kept) == len(kept.runs()) == RUNS_MAX
    assert kept.runs()[0] == run("type-100", 100)


def test_collection_made_of_its_own_runs_is_the_same():
    kept = Collected(run(f"type-{number % 7}", number) for number in range(1_000))
    assert Collected(kept.runs()).runs() == kept.runs()
    assert collected.RUNS_PER_TYPE_MAX * 7 > 1_000


def test_ten_thousand_workers_seen_once_do_not_grow_the_recent_times():
    times = RecentTimes()
    for number in range(10_000):
        times.learn("kind", "c5", f"w-{number}", 5.0)
    assert len(times.state()) == recent.CELLS_MAX
    assert times.of("kind", "c5", "w-9999").samples == 10_000


def test_class_adds_to_the_time_of_a_type_and_a_stranger_does_not():
    times = RecentTimes()
    for _ in range(200):
        times.learn("kind", "fast", "a", 4.0)
        times.learn("kind", "slow", "b", 5.0)
    slow, fast, strange = (times.of("kind", name, "") for name in ("slow", "fast", "unheard-of"))
    assert slow.sum - fast.sum > 0.8
    assert strange.sum == strange.level
    assert times.of("never", "slow", "b") is None


def test_one_absurd_run_moves_a_class_by_a_bounded_step():
    times = RecentTimes()
    for _ in range(100):
        times.learn("kind", "c", "", 4.0)
    before = times.of("kind", "c", "").class_adds
    times.learn("kind", "c", "", 40.0)
    assert times.of("kind", "c", "").class_adds - before <= recent.CELL_ALPHA * recent.RESIDUAL_MAX + 1e-9
