"""A verdict is the same every time, finds a real difference, and takes luck for luck."""

from __future__ import annotations

import random

import pytest

from nexus_sched.plugins.contest import judge


def hits(share: float, count: int, seed: int) -> list[bool]:
    chance = random.Random(seed)
    return [chance.random() < share for _ in range(count)]


def test_clearly_better_candidate_wins():
    verdict = judge("new", "old", hits(0.8, 2_000, 1), hits(0.6, 2_000, 2))
    assert verdict.winner == "new"
    assert 0.1 < verdict.low < verdict.difference < verdict.high < 0.3
    assert verdict.only_candidate - verdict.only_present == round(verdict.difference * 2_000)


def test_worse_candidate_loses_by_name():
    assert judge("new", "old", hits(0.6, 2_000, 1), hits(0.8, 2_000, 2)).winner == "old"


def test_equal_ones_are_undecided():
    verdict = judge("new", "old", hits(0.7, 2_000, 1), hits(0.7, 2_000, 2))
    assert verdict.winner == ""
    assert verdict.low < 0.0 < verdict.high


def test_one_long_streak_proves_nothing():
    streak = [True] * 100 + [False] * 1_900  # a hundred tasks in a row, as after one lucky guess
    verdict = judge("new", "old", streak, [False] * 2_000)
    alone = judge("new", "old", random.Random(3).sample(streak, 2_000), [False] * 2_000)
    assert alone.low > 0.03
    assert verdict.low < alone.low


def test_verdict_is_the_same_every_time():
    assert judge("a", "b", hits(0.7, 500, 1), hits(0.6, 500, 2)) == judge(
        "a", "b", hits(0.7, 500, 1), hits(0.6, 500, 2)
    )


def test_few_tasks_are_enough_for_a_verdict_that_decides_nothing():
    assert judge("a", "b", [True], [True]).winner == ""


def test_different_numbers_of_tasks_are_refused():
    with pytest.raises(ValueError, match="same tasks"):
        judge("a", "b", [True], [True, False])
