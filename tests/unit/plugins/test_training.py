"""Training finds structure, is repeatable to the byte, and knows how far off it is."""

from __future__ import annotations

import sys

import msgspec
import pytest

from nexus_sched.core.predictors.ema import EmaPredictor
from nexus_sched.errors import InvalidInput
from nexus_sched.model.settings import EngineSettings
from nexus_sched.plugins import model_file
from nexus_sched.plugins.boosting import BoostingPredictor
from nexus_sched.plugins.features import Schema, schema_of, tabulate
from nexus_sched.plugins.model import ExtraMissing
from nexus_sched.plugins.retrained import RUNS_FIRST, RetrainedPredictor
from nexus_sched.plugins.runs import TrainingRun
from nexus_sched.plugins.training import RUNS_MIN, train
from tests.unit.plugins.material import completed, runs, share_within_25, task_of

UNSEEN = runs(600, seed=2)


def test_boosting_learns_how_size_matters_for_each_type_where_an_average_cannot(model: bytes):
    boosting, ema = BoostingPredictor(EngineSettings(), model), EmaPredictor(EngineSettings())
    for run in runs(2_000):
        ema.learn(completed(run))
    assert share_within_25(ema, UNSEEN) < 0.3
    assert share_within_25(boosting, UNSEEN) > 0.85


def test_boosting_interval_of_80_percent_holds_on_unseen_runs(model: bytes):
    boosting = BoostingPredictor(EngineSettings(), model)
    held = 0
    for run in UNSEEN:
        told = boosting.predict(task_of(run), run.worker, run.worker_class)
        held += told.p10_ms <= run.run_ms <= told.p90_ms
    assert 0.7 < held / len(UNSEEN) < 0.9


def test_training_twice_gives_the_same_file_to_the_byte(model: bytes):
    assert train(runs(2_000), trained_at="2026-11-21T00:00:00+00:00", source="material") == model


def test_training_does_not_depend_on_the_order_in_which_runs_are_given(model: bytes):
    backwards = list(reversed(runs(2_000)))
    assert train(backwards, trained_at="2026-11-21T00:00:00+00:00", source="material") == model


def test_model_says_what_it_is(model: bytes):
    header = model_file.unpack(model, "model").header
    assert (header.source, header.rows) == ("material", 2_000 - 3)  # the first run of a type has no past
    assert header.schema.types == sorted(header.schema.types, key=header.schema.types.index)
    assert set(header.residuals) == {"", "copy", "encode", "index"}
    assert header.held_out_within_25 > header.recent_within_25 + 0.3


def test_training_on_too_few_runs_is_refused():
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")
    with pytest.raises(InvalidInput, match=f"at least {RUNS_MIN} are needed"):
        train(runs(20), trained_at="", source="")


def test_missing_extra_is_told_with_what_to_install(model: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'nexus-sched\[ml\]'"):
        train(runs(200), trained_at="", source="")
    with pytest.raises(ExtraMissing, match=r"pip install 'nexus-sched\[ml\]'"):
        BoostingPredictor(EngineSettings(), model)


def test_training_progress_is_told(model: bytes):
    told: list[tuple[str, int, int]] = []
    train(runs(300), trained_at="", source="", told=lambda *step: told.append(step))
    assert list(dict.fromkeys(phase for phase, _, _ in told)) == ["read", "residual time", "absolute time", "all runs"]
    assert ("read", 300, 300) in told
    assert all(0 < done <= total for _, done, total in told)


def test_row_of_a_run_knows_no_result_that_came_later():
    late = TrainingRun("kind", 0.0, "w", "", 1_000.0, 0, 100)  # ends when the second one has long been predicted
    early = TrainingRun("kind", 0.0, "w", "", 10.0, 1, 11)
    third = TrainingRun("kind", 0.0, "w", "", 10.0, 50, 60)
    some = [late, early, third]
    table = tabulate(some, schema_of(some))
    assert len(table.types) == 1, "only the third run had a past"
    assert table.recent[0] == pytest.approx(3.3219281, abs=1e-6), "log2 of 10 ms: the late run is not in it"
    assert table.recents.of("kind", "", "w").samples == 3


def test_rare_workers_have_no_code_of_their_own():
    often = [TrainingRun("kind", 0.0, "steady", "", 1.0, number, number) for number in range(30)]
    once = [TrainingRun("kind", 0.0, f"passing-{number}", "", 1.0, number, number) for number in range(30)]
    assert schema_of(often + once).workers == ["steady"]


def test_schema_survives_the_file():
    schema = schema_of(runs(100))
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema) == schema


def test_retrained_predictor_trains_by_growth_and_by_the_day(model: bytes):
    predictor = RetrainedPredictor(EngineSettings())
    some = runs(RUNS_FIRST + 1)
    probe = task_of(some[0])
    for run in some[: RUNS_FIRST - 1]:
        predictor.learn(completed(run))
    assert predictor.predict(probe, "fast-0", "fast") is None
    predictor.learn(completed(some[RUNS_FIRST - 1]))
    first = predictor.predict(probe, "fast-0", "fast")
    assert first.basis == "trees"
    before = predictor._inner
    tomorrow = msgspec.structs.replace(completed(some[RUNS_FIRST]), at_ms=90_000_000)
    predictor.learn(tomorrow)
    assert predictor._inner is not before
    other = RetrainedPredictor(EngineSettings())
    other.restore(predictor.snapshot())
    assert other.digest() == predictor.digest()
    assert other.predict(probe, "fast-0", "fast") == predictor.predict(probe, "fast-0", "fast")
