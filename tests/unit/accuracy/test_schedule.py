"""Who is predicted and learned when: nothing is known before it can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nexus_sched.accuracy.schedule import Feedback, Turn, turns

SECONDS = st.integers(0, 30).map(float)
RUNS = st.lists(st.tuples(SECONDS, st.one_of(st.none(), SECONDS)), max_size=40)


def acts(schedule: list[Turn]) -> list[tuple[str, int]]:
    found = []
    for turn in schedule:
        found += [("learn", index) for index in turn.learned]
        found += [("predict", index) for index in range(turn.first, turn.last)]
    return found


def test_schedule_result_is_learned_when_its_end_has_passed():
    # 0 ends at the very moment of 2; 1 ends after 2 was predicted, and before 3.
    schedule = turns([0.0, 1.0, 2.0, 9.0], [2.0, 5.0, 20.0, 21.0], "delayed")
    assert schedule == [Turn([], 0, 2), Turn([0], 2, 3), Turn([1], 3, 4), Turn([2, 3], 4, 4)]


def test_schedule_results_are_learned_in_the_order_of_their_ends():
    schedule = turns([0.0, 1.0, 2.0, 9.0], [8.0, 5.0, 6.0, 21.0], "delayed")
    assert schedule[1].learned == [1, 2, 0]


def test_schedule_without_times_or_delay_learns_at_once():
    expected = [("predict", 0), ("learn", 0), ("predict", 1), ("learn", 1)]
    assert acts(turns([None, None], [None, None], "delayed")) == expected
    assert acts(turns([0.0, 1.0], [None, None], "delayed")) == expected
    assert acts(turns([None, None], [7.0, 8.0], "delayed")) == expected
    assert acts(turns([0.0, 1.0], [7.0, 8.0], "immediate")) == expected


def test_schedule_of_a_run_that_ends_before_it_was_submitted_still_predicts_first():
    assert acts(turns([5.0, 5.0], [1.0, 1.0], "delayed"))[:2] == [("predict", 0), ("learn", 0)]


@given(RUNS, st.sampled_from(["delayed", "immediate"]))
def test_schedule_predicts_all_in_order_and_learns_each_once_afterwards(
    runs: list[tuple[float, float | None]], feedback: Feedback
):
    runs = sorted(runs, key=lambda run: run[0])
    moments, ends = [moment for moment, _ in runs], [end for _, end in runs]
    done = acts(turns(moments, ends, feedback))
    assert [index for act, index in done if act == "predict"] == list(range(len(runs)))
    assert sorted(index for act, index in done if act == "learn") == list(range(len(runs)))
    learned: set[int] = set()
    predicted: set[int] = set()
    for act, index in done:
        if act == "learn":
            assert index in predicted
            learned.add(index)
            continue
        at_once = {other for other in predicted if feedback == "immediate" or ends[other] is None}
        over = {other for other in predicted if ends[other] is not None and ends[other] <= moments[index]}
        assert learned == at_once | over
        predicted.add(index)
