"""Means for several classes at once: to the bit what one prediction for each class says."""

from __future__ import annotations

import random
from array import array

import pytest

from nexus_sched._kernel.history_table import HistoryTable
from nexus_sched.errors import KernelError
from tests.unit.kernel.test_history_twin import with_leader

CLASSES = ("class-0", "class-1", "", "class-2", "never seen", "nor this", "class-3", "class-1")


def taught(seed: int, runs: int, noise: float = 0.3) -> HistoryTable:
    """One type whose time depends on class and size, with a few runs that are far off."""
    dice, table = random.Random(seed), HistoryTable()
    for step in range(runs):
        number, payload = dice.randrange(4), dice.choice((0.0, 2.0 ** dice.uniform(8, 18)))
        run_ms = 2.0**number * (50.0 + payload / 100.0) * dice.lognormvariate(0, noise)
        like = ("t", payload if seed % 2 else 0.0, f"class-{number}", f"w{dice.randrange(9)}")
        told = table.predict(*like)
        if step % 50 == 49:
            table.push(*like, 1e6 * run_ms)
        else:
            table.learn(*like, run_ms, *((told.p10_ms, told.p90_ms, told.samples, told.p50_ms) if told else ()))
    return table


def expected(table: HistoryTable, payload_bytes: float, hint_ms: float = 0.0, hint_weight: float = 0.0) -> array[float]:
    told = [table.predict("t", payload_bytes, each, "", hint_ms, hint_weight) for each in CLASSES]
    return array("f", [each.mean_ms for each in told if each is not None])


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_means_are_those_of_one_prediction_each(seed: int, noise: float):
    dice, means_ms = random.Random(seed), array("f", [0.0] * len(CLASSES))
    for runs in (1, 5, 40, 447, 448, 449, 900):
        table = taught(seed, runs, noise)
        for _ in range(20):
            payload, hint_ms = 2.0 ** dice.uniform(0, 20), 10.0 ** dice.uniform(-3, 9)
            hint_weight = dice.choice((0.0, 3.0))
            assert table.class_means("t", payload, CLASSES, means_ms, hint_ms, hint_weight) == runs
            assert means_ms == expected(table, payload, hint_ms, hint_weight), f"seed {seed}, {runs} runs"


@pytest.mark.parametrize("expert", range(9))
def test_every_expert_gives_the_means_of_one_prediction_each(expert: int):
    dice, means_ms = random.Random(expert), array("f", [0.0] * len(CLASSES))
    table = taught(1, 600)
    table.restore(with_leader(table.snapshot(), expert))
    for _ in range(50):
        payload = 2.0 ** dice.uniform(0, 20)
        assert table.class_means("t", payload, CLASSES, means_ms) == 600
        assert means_ms == expected(table, payload)
        told = table.predict("t", payload)
        assert told is not None
        assert told.expert == expert


def test_nothing_known_writes_nothing_unless_there_is_a_hint():
    table, means_ms = HistoryTable(), array("f", [7.0, 7.0])
    assert table.class_means("t", 5.0, ("a", "b"), means_ms) == 0
    assert means_ms.tolist() == [7.0, 7.0]
    assert table.class_means("t", 5.0, ("a", "b"), means_ms, 250.0, 3.0) == 0
    told = table.predict("t", 5.0, "a", "", 250.0, 3.0)
    assert told is not None
    assert means_ms == array("f", [told.mean_ms] * 2)


def test_more_room_than_classes_is_left_alone_and_no_class_is_no_answer():
    table, means_ms = taught(0, 50), array("f", [7.0] * 3)
    assert table.class_means("t", 0.0, (), means_ms) == 50
    assert means_ms.tolist() == [7.0] * 3
    assert table.class_means("t", 0.0, ("class-0",), means_ms) == 50
    assert means_ms.tolist()[1:] == [7.0, 7.0] != means_ms.tolist()[:2]


def test_answers_follow_the_classes_asked_and_what_is_learned():
    table, two, one = taught(0, 50), array("f", [0.0] * 2), array("f", [0.0])
    up, down = ("class-0", "class-3"), ("class-3", "class-0")
    table.class_means("t", 0.0, up, two)
    before = two.tolist()
    table.class_means("t", 0.0, down, two)
    assert two.tolist() == before[::-1]
    assert before[0] < before[1]
    for _ in range(60):
        table.push("t", 0.0, "class-0", "w", 1e6)
    table.class_means("t", 0.0, ("class-0",), one)
    assert one[0] > 10 * before[0]


def test_what_cannot_be_asked_raises_and_the_next_question_is_answered():
    table, means_ms = taught(0, 50), array("f", [0.0] * 2)
    for payload, hint in ((-1.0, ()), (float("nan"), ()), (0.0, (-1.0, 3.0)), (0.0, (1.0, 1e7))):
        with pytest.raises(KernelError):
            table.class_means("t", payload, ("class-0", "class-1"), means_ms, *hint)
    for short in (array("f", [0.0]), array("d", [0.0] * 9), array("i", [0] * 9), bytearray(99)):
        with pytest.raises(KernelError, match="2 C floats"):
            table.class_means("t", 0.0, ("class-0", "class-1"), short)
    for fixed in (bytes(99), memoryview(means_ms).toreadonly(), memoryview(array("f", [0.0] * 9))[::2]):
        with pytest.raises(BufferError):
            table.class_means("t", 0.0, ("class-0", "class-1"), fixed)
    mixed: tuple[str, ...] = ("class-0", 5)  # type: ignore[assignment]  # what nobody should pass
    with pytest.raises(TypeError):
        table.class_means("t", 0.0, mixed, means_ms)
    with pytest.raises(KernelError, match="65537 classes"):
        table.class_means("t", 0.0, ("",) * 65_537, means_ms)
    assert table.class_means("t", 0.0, ("class-0", "class-1"), means_ms) == 50
    assert 0.0 < means_ms[0] < means_ms[1]


def test_asking_changes_nothing():
    table, means_ms = taught(1, 300), array("f", [0.0] * len(CLASSES))
    before = table.digest()
    table.class_means("t", 77.0, CLASSES, means_ms, 5.0, 3.0)
    assert table.digest() == before
