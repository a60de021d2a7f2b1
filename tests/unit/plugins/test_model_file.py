"""A model survives its file to the bit; what is damaged or foreign is refused with words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.settings import EngineSettings
from nexus_sched.plugins import model_file
from nexus_sched.plugins.boosting import BoostingPredictor, collected_in
from nexus_sched.plugins.model_file import ModelUnreadable
from tests.unit.plugins.material import completed, runs, task_of


def answers(predictor: BoostingPredictor) -> list[object]:
    told = []
    for run in runs(200, seed=3):
        told.append(predictor.predict(task_of(run), run.worker, run.worker_class))
        predictor.learn(completed(run))
    assert all(each is not None for each in told)
    return told


def test_saved_and_loaded_model_predicts_the_same_bits(model: bytes, tmp_path: Path):
    model_file.write(tmp_path / "model.nxm", model)
    loaded = BoostingPredictor.from_file(tmp_path / "model.nxm", name="boosting")(EngineSettings())
    assert answers(loaded) == answers(BoostingPredictor(EngineSettings(), model))


def test_file_is_kept_beside_under_its_digest_and_nothing_else_is_left(model: bytes, tmp_path: Path):
    kept = model_file.write(tmp_path / "model.nxm", model)
    digest = model_file.unpack(model, "model").digest
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"model-{digest[:16]}.nxm", "model.nxm"]
    assert kept.read_bytes() == (tmp_path / "model.nxm").read_bytes() == model


def test_write_that_fails_leaves_the_old_file_and_no_rest(model: bytes, tmp_path: Path):
    path = tmp_path / "model.nxm"
    kept = model_file.write(path, model)
    path.unlink()
    path.mkdir()  # a file cannot replace a folder
    with pytest.raises(OSError, match="irectory"):
        model_file.write(path, model)
    assert sorted(tmp_path.iterdir()) == sorted([kept, path])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda blob: b"", "is no model of nexus-sched"),
        (lambda blob: b"tree\nversion=v4\n" + blob, "is no model of nexus-sched"),
        (lambda blob: blob[: len(blob) // 2], "is damaged"),
        (lambda blob: blob[:-3] + b"999", "is damaged"),
        (lambda blob: blob.replace(b"nexus-sched-model 1 ", b"nexus-sched-model 2 ", 1), "has format 2"),
    ],
    ids=["empty", "foreign", "cut", "changed", "later format"],
)
def test_damaged_or_foreign_file_is_refused_with_its_name(model: bytes, tmp_path: Path, damage, words: str):
    path = tmp_path / "model.nxm"
    path.write_bytes(damage(model))
    with pytest.raises(ModelUnreadable, match=words) as refused:
        BoostingPredictor.from_file(path)
    assert str(path) in str(refused.value)


def test_missing_file_is_refused_with_its_name(tmp_path: Path):
    with pytest.raises(ModelUnreadable, match=r"missing\.nxm cannot be read: no such file"):
        BoostingPredictor.from_file(tmp_path / "missing.nxm")


def test_model_of_other_columns_is_refused(model: bytes):
    file = model_file.unpack(model, "model")
    schema = msgspec.structs.replace(file.header.schema, columns=["type", "moon"])
    packed = model_file.pack(msgspec.structs.replace(file.header, schema=schema), file.recent, file.trees)
    with pytest.raises(ModelUnreadable, match="train it again"):
        model_file.unpack(packed, "model")


def test_model_with_broken_trees_is_refused(model: bytes):
    file = model_file.unpack(model, "model")
    packed = model_file.pack(file.header, file.recent, "no trees at all")
    with pytest.raises(ModelUnreadable, match="trees"):
        BoostingPredictor(EngineSettings(), packed)


def test_snapshot_brings_its_model_along(model: bytes):
    trained = BoostingPredictor(EngineSettings(), model)
    answers(trained)
    without = BoostingPredictor(EngineSettings())
    without.restore(trained.snapshot())
    assert without.digest() == trained.digest()
    assert answers(without) == answers(trained)


def test_snapshot_with_a_broken_model_is_refused_and_changes_nothing(model: bytes):
    predictor = BoostingPredictor(EngineSettings(), model)
    before = predictor.digest()
    with pytest.raises(SnapshotUnreadable, match="cannot be used"):
        predictor.restore(msgspec.msgpack.encode([1, b"no model", [], []]))
    assert predictor.digest() == before


def test_collected_runs_can_be_read_from_a_snapshot():
    predictor = BoostingPredictor(EngineSettings())
    some = runs(50)
    for run in some:
        predictor.learn(completed(run))
    assert collected_in(predictor.snapshot()) == predictor.collected()
    assert set(predictor.collected()) == set(some)
