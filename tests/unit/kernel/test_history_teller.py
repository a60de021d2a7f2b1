"""The teller says what the table says, in the words of a prediction."""

from __future__ import annotations

import random

import pytest

from nexus_sched._kernel.history_table import EXPERT_NAMES, HistoryTable
from nexus_sched._kernel.history_teller import HistoryTeller
from nexus_sched.errors import KernelError
from nexus_sched.model.prediction import TaskPrediction


def taught(runs: int) -> HistoryTable:
    dice, table = random.Random(runs), HistoryTable()
    for _ in range(runs):
        table.learn("t", dice.uniform(0, 1e5), f"c{dice.randrange(2)}", f"w{dice.randrange(5)}", dice.uniform(50, 500))
    return table


@pytest.mark.parametrize("basis", [None, "family"])
@pytest.mark.parametrize("hint", [(), (77.0, 3.0)])
@pytest.mark.parametrize("runs", [0, 1, 9, 500])
def test_teller_makes_a_prediction_of_what_the_table_says(runs: int, hint: tuple[float, ...], basis: str | None):
    table = taught(runs)
    teller = HistoryTeller(table, TaskPrediction, "learned", 3, 2.0, 0.25, basis)
    told, said = table.predict("t", 5e4, "c1", "w2", *hint), teller.tell("t", 5e4, "c1", "w2", 0, *hint)
    if told is None:
        assert said is None
        return
    spoke = "hint" if runs == 0 else EXPERT_NAMES[told.expert]
    confidence = 0.25 * told.hit_rate * told.alike / (told.alike + 2.0)
    assert said == TaskPrediction(
        told.p50_ms, told.mean_ms, told.p80_ms, told.p95_ms, confidence, basis or spoke, runs, "learned", 3,
        told.p10_ms, told.p90_ms,
    )  # fmt: skip
    assert {type(value) for value in (said.p50_ms, said.p90_ms, said.confidence)} == {float}


def test_fewer_runs_than_asked_for_are_no_answer():
    teller = HistoryTeller(taught(9), TaskPrediction, "learned", 1, 2.0)
    assert teller.tell("t", 0.0, "", "", 10) is None
    assert teller.tell("t", 0.0, "", "", 9) is not None


def test_teller_follows_its_table_and_raises_like_it():
    table = taught(9)
    teller = HistoryTeller(table, TaskPrediction, "learned", 1, 2.0)
    table.learn("t", 0.0, "", "", 5.0)
    said = teller.tell("t", 0.0, "", "")
    assert said is not None
    assert said.samples == 10
    for payload, hint_ms in ((-1.0, 0.0), (0.0, -1.0)):
        with pytest.raises(KernelError):
            teller.tell("t", payload, "", "", 0, hint_ms, 3.0)
    with pytest.raises(TypeError):
        HistoryTeller(None, TaskPrediction, "learned", 1, 2.0)  # type: ignore[arg-type]  # what nobody should pass
