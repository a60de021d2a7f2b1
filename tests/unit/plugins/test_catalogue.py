"""Predictors are found by name: installed, trained, or written down by the operator; nobody else names a module."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_sched.core.engine import Engine
from nexus_sched.core.snapshot import restore, take
from nexus_sched.errors import ConfigInvalid
from nexus_sched.model.settings import EngineSettings
from nexus_sched.plugins import model_file
from nexus_sched.plugins.catalogue import GROUP, Catalogue
from nexus_sched.plugins.model_file import ModelUnreadable
from nexus_sched.plugins.training import train
from tests.unit.plugins.material import runs, task_of


@pytest.fixture
def example_module(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example under a name of its own, in the working directory."""
    shutil.copy(root / "examples/plain_predictor.py", tmp_path / "example_by_module.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield "example_by_module:Medians"
    sys.modules.pop("example_by_module", None)


def test_example_has_thirty_lines_of_code(root: Path):
    lines = (root / "examples/plain_predictor.py").read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith('"""')]) <= 35


def test_example_is_loaded_through_an_entry_point(root: Path, tmp_path: Path):
    """As pip would leave it: a module and a `.dist-info` in a folder of the path."""
    shutil.copy(root / "examples/plain_predictor.py", tmp_path)
    info = tmp_path / "medians-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: medians\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmedians = plain_predictor:Medians\n")
    script = (
        "from nexus_sched.plugins.catalogue import Catalogue; from nexus_sched.testing.predictors import trained;"
        "made = trained(Catalogue()['medians']); print(type(made).__module__, len(made.runs_ms), *Catalogue())"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; {script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    module, types, *names = done.stdout.split()
    assert (module, types) == ("plain_predictor", "4")
    assert {"ema", "learned", "boosting", "medians"} <= set(names)


def test_example_is_loaded_by_its_module(example_module: str):
    catalogue = Catalogue([example_module])
    predictor = catalogue[example_module](EngineSettings())
    assert predictor.predict(task_of(runs(1)[0])) is None
    assert predictor.name == example_module, "what a snapshot calls it must be found again"
    assert example_module in set(catalogue)


def test_engine_with_a_configured_module_survives_a_snapshot(example_module: str):
    catalogue = Catalogue([example_module])
    engine = Engine(catalogue, EngineSettings(predictor=example_module))
    assert restore(take(engine), catalogue).digest() == engine.digest()


def test_module_that_nobody_configured_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    catalogue = Catalogue()
    assert catalogue.get("trap:Trap") is None
    assert "trap" not in sys.modules
    assert "no predictor is called 'trap:Trap'" in catalogue.why_not("trap:Trap")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("median", "no predictor is called 'median'"),
        ("no_such_module:Thing", "cannot be loaded: ModuleNotFoundError"),
        ("json:Thing", "cannot be loaded: AttributeError"),
    ],
)
def test_mistake_in_the_configuration_is_told(name: str, words: str):
    with pytest.raises(ConfigInvalid, match=words):
        Catalogue([name])


def test_trained_model_is_found_by_its_digest_also_after_the_next_training(model: bytes, tmp_path: Path):
    path = tmp_path / "boosting.nxm"
    later = train(runs(300, seed=9), trained_at="later", source="others")
    catalogue = Catalogue([], path)
    assert catalogue.resolve("boosting") == "boosting", "there is no model yet: it collects"
    model_file.write(path, model)
    old_name = catalogue.resolve("boosting")
    model_file.write(path, later)
    new_name = catalogue.resolve("boosting")
    assert (old_name, new_name) == (model_file.unpack(model, "m").called, model_file.unpack(later, "m").called)
    some = runs(1)[0]
    old, new = (catalogue[name](EngineSettings()) for name in (old_name, new_name))
    assert (old.name, new.name) == (old_name, new_name)
    told = old.predict(task_of(some), some.worker, some.worker_class)
    assert told.predictor == old_name
    assert told.p50_ms != new.predict(task_of(some), some.worker, some.worker_class).p50_ms
    assert catalogue["boosting"](EngineSettings()).predict(task_of(some)) is None


def test_configured_model_that_is_damaged_stops_the_start(model: bytes, tmp_path: Path):
    path = tmp_path / "boosting.nxm"
    path.write_bytes(model[:-1])
    with pytest.raises(ModelUnreadable, match="is damaged"):
        Catalogue(["boosting"], path)
    assert len(Catalogue(["learned"], path)) >= 3, "nobody asked for it"


def test_model_that_is_not_here_is_told_with_the_place_where_it_should_be(model: bytes, tmp_path: Path):
    path = tmp_path / "boosting.nxm"
    model_file.write(path, model)
    catalogue = Catalogue([], path)
    assert catalogue.get("boosting-0123456789abcdef") is None
    assert str(tmp_path / "boosting-0123456789abcdef.nxm") in catalogue.why_not("boosting-0123456789abcdef")
    assert "`predictor.model` is needed" in Catalogue().why_not("boosting-0123456789abcdef")


def test_plug_ins_of_the_package_are_entry_points_too(root: Path):
    text = (root / "pyproject.toml").read_text()
    for name in ("ema", "learned", "boosting"):
        assert f'{name} = "nexus_sched.' in text.split('entry-points."nexus_sched.predictors"', 1)[1].split("\n[", 1)[0]


def test_package_does_not_load_lightgbm_by_itself():
    script = (
        "import sys, nexus_sched, nexus_sched.plugins.boosting, nexus_sched.plugins.training, nexus_sched.cli.run;"
        "print('lightgbm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
