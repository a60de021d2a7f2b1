"""The learned predictor: cold start, confidence, what it learns from, and its snapshots."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest

from nexus_sched._kernel.history_table import EXPERT_NAMES
from nexus_sched.core.predictors.base import CompletedRun
from nexus_sched.core.predictors.learned import LearnedPredictor, family_of
from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction
from nexus_sched.model.settings import EngineSettings
from nexus_sched.model.task import Task


def task(task_type: str = "t", payload_bytes: int = 0, hint_ms: float | None = None) -> Task:
    return Task("id", task_type, 5, payload_bytes, 0, hint_ms)


@dataclass
class Story:
    """A predictor and its random runs: every run is predicted first."""

    seed: int
    predictor: LearnedPredictor = field(default_factory=lambda: LearnedPredictor(EngineSettings()))
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def run(self, worker: str, run_ms: float, of: Task | None = None, worker_class: str = "c") -> TaskPrediction | None:
        of = of or task()
        told = self.predictor.predict(of, worker, worker_class)
        note = self.predictor.learn(CompletedRun(of, worker, worker_class, run_ms, 0, told))
        if note is not None:
            self.notes.append(note)
        return told

    def about(self, middle_ms: float, noise: float = 0.1) -> float:
        return middle_ms * self.dice.lognormvariate(0, noise)


def p50_ms(predictor: LearnedPredictor, of: Task | None = None, worker: str | None = None) -> float:
    told = predictor.predict(of or task(), worker, "c")
    assert told is not None
    return told.p50_ms


def test_nothing_known_is_no_answer():
    assert LearnedPredictor(EngineSettings()).predict(task()) is None


def test_hint_answers_until_runs_outweigh_it():
    story = Story(1)
    hinted = task(hint_ms=1000.0)
    told = story.predictor.predict(hinted)
    assert told is not None
    assert (told.basis, told.samples, told.predictor, told.version) == ("hint", 0, "learned", 1)
    assert told.p50_ms == pytest.approx(1000.0, rel=0.05)
    assert told.p10_ms < told.p50_ms < told.p80_ms <= told.p95_ms
    story.run("w", 100.0)
    assert p50_ms(story.predictor, hinted) == pytest.approx(1000.0, rel=0.05), "one run against three"
    for _ in range(5):
        story.run("w", 100.0)
    assert p50_ms(story.predictor, hinted) == pytest.approx(100.0, rel=0.05), "six runs against three"
    for _ in range(5):
        story.run("w", 100.0)
    assert p50_ms(story.predictor, task(hint_ms=9.0)) == p50_ms(story.predictor), "known well: no hint is needed"


def test_new_type_resembles_its_family_and_else_all_types():
    story = Story(2)
    for _ in range(30):
        story.run("w", story.about(100.0), task("image.resize"))
        story.run("w", story.about(9000.0), task("video:cut"))
    for task_type, middle_ms in (("image.crop", 100.0), ("image", 100.0), ("video.join", 9000.0)):
        told = story.predictor.predict(task(task_type), "w", "c")
        assert told is not None
        assert (told.basis, told.p50_ms) == ("family", pytest.approx(middle_ms, rel=0.25))
    stranger = story.predictor.predict(task("audio.mix"), "w", "c")
    known = story.predictor.predict(task("image.resize"), "w", "c")
    relative = story.predictor.predict(task("image.crop"), "w", "c")
    assert stranger is not None
    assert known is not None
    assert relative is not None
    assert stranger.basis == "all types"
    assert known.basis in EXPERT_NAMES
    assert stranger.confidence < relative.confidence < known.confidence < 1.0
    assert stranger.p90_ms / stranger.p10_ms > known.p90_ms / known.p10_ms


@pytest.mark.parametrize(("task_type", "family"), [("a.b.c", "a"), ("a:b", "a"), ("a", "a"), (".a", ""), ("", "")])
def test_family_is_what_stands_before_the_first_mark(task_type: str, family: str):
    assert family_of(task_type) == family


def test_confidence_grows_with_like_runs():
    story = Story(3)
    seen = []
    for _ in range(60):
        told = story.run("w", story.about(100.0))
        seen.append(0.0 if told is None else told.confidence)
    assert seen[0] == 0.0 < seen[2] < seen[10] < seen[59] < 1.0


def test_min_samples_withholds_the_type_but_not_its_family():
    story = Story(4, LearnedPredictor(EngineSettings(min_samples=5)))
    bases = [told.basis for _ in range(8) if (told := story.run("w", 100.0)) is not None]
    assert bases[:4] == ["family"] * 4
    assert set(bases[4:]) <= set(EXPERT_NAMES)


def test_runs_teach_without_a_prediction_and_with_another_predictors():
    predictor = LearnedPredictor(EngineSettings())
    foreign = TaskPrediction(5.0, 5.0, 6.0, 7.0, 1.0, "type", 3, "ema", 1, 4.0, 6.0)
    for prediction in (None, foreign):
        assert predictor.learn(CompletedRun(task(), "w", "c", 100.0, 0, prediction)) is None
    assert p50_ms(predictor) == pytest.approx(100.0, rel=0.05)


def test_means_by_class_are_those_of_one_prediction_each_on_every_rung_of_the_ladder():
    story, means_ms = Story(7, LearnedPredictor(EngineSettings(min_samples=4))), array("f", [0.0] * 3)
    classes, bases = ("c0", "c1", "unheard-of"), set()
    assert not story.predictor.predict_classes(task("a"), classes, means_ms)
    for step in range(300):
        number, of = story.dice.randrange(2), task(f"{story.dice.choice('abc')}.{step**3 % 40}", 1000 * (step % 3))
        story.run("w", story.about(100.0 * (1 + number)), of, f"c{number}")
        for asked in (of, task("a.new", 5), task("stranger"), task("hinted", 5, 900.0), task(of.type, 5, 900.0)):
            told = [story.predictor.predict(asked, None, each) for each in classes]
            assert story.predictor.predict_classes(asked, classes, means_ms)
            assert means_ms == array("f", [each.mean_ms for each in told if each is not None])
            bases |= {each.basis for each in told if each is not None}
    assert {"family", "all types", "hint"} < bases, "not every rung was asked"


def test_interval_of_eighty_percent_holds_eighty_percent():
    for noise in (0.1, 0.8):
        story = Story(5)
        inside = []
        for _ in range(3000):
            run_ms = story.about(100.0, noise)
            told = story.run(f"w{story.dice.randrange(4)}", run_ms)
            inside.append(told is not None and told.p10_ms <= run_ms <= told.p90_ms)
        assert 0.77 <= sum(inside[500:]) / len(inside[500:]) <= 0.83, f"noise {noise}"


def mixed(story: Story, runs: int) -> Iterator[None]:
    for _ in range(runs):
        number = story.dice.randrange(20)
        of = task(f"family-{number % 3}.type-{number}", story.dice.choice((0, 5000)))
        lie = 100.0 if number == 7 and story.dice.random() < 0.5 else 1.0
        story.run(f"w{story.dice.randrange(5)}", story.about(10.0 + number) * lie, of)
        yield


def test_predictor_restored_at_every_thousandth_run_goes_on_bit_for_bit():
    steady, restored = Story(6), Story(6)
    runs = zip(mixed(steady, 5000), mixed(restored, 5000), strict=True)
    for step, _ in enumerate(runs):
        if step % 1000 == 999:
            blob = restored.predictor.snapshot()
            restored.predictor = LearnedPredictor(EngineSettings())
            restored.predictor.restore(blob)
            assert restored.predictor.snapshot() == blob == steady.predictor.snapshot()
            assert restored.predictor.digest() == steady.predictor.digest()
    assert restored.notes == steady.notes


def test_digest_tells_every_part_of_the_state():
    story = Story(7)
    list(mixed(story, 200))
    before = story.predictor.digest()
    story.predictor._trust.strike("liar")
    assert story.predictor.digest() != before


def state_of(predictor: LearnedPredictor) -> list[object]:
    state: list[object] = msgspec.msgpack.decode(predictor.snapshot())
    return state


def test_later_version_may_add_fields():
    story = Story(8)
    list(mixed(story, 100))
    twin = LearnedPredictor(EngineSettings())
    twin.restore(msgspec.msgpack.encode([*state_of(story.predictor), {"later": 1}]))
    assert twin.digest() == story.predictor.digest()


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [
        (0, 0, "version 0"),
        (0, "1", "cannot be read"),
        (1, b"", "header"),
        (2, b"NXHT", "header"),
        (3, {"w": float("nan")}, "strikes"),
        (3, {"w": -1.0}, "strikes"),
        (3, {"w": 9.0}, "strikes"),
        (3, {f"w{index}": 1.0 for index in range(5000)}, "5000 workers"),
    ],
)
def test_state_that_cannot_be_is_refused_and_changes_nothing(position: int, value: object, reason: str):
    story = Story(9)
    list(mixed(story, 100))
    before = story.predictor.digest()
    state = state_of(story.predictor)
    state[position] = value
    with pytest.raises(SnapshotUnreadable, match=reason):
        story.predictor.restore(msgspec.msgpack.encode(state))
    for blob in (b"", b"\xc1", story.predictor.snapshot()[:-1], b"\x91" * 100_000):
        with pytest.raises(SnapshotUnreadable):
            story.predictor.restore(blob)
    assert story.predictor.digest() == before


@pytest.mark.parametrize("factor", [3.0, 1 / 3, 100.0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_step_change_is_noticed_once_or_twice_and_learned_within_thirty_runs(factor: float, seed: int):
    story = Story(seed)
    for _ in range(300):
        story.run(f"w{story.dice.randrange(5)}", story.about(150.0))
    assert story.notes == []
    right = []
    for _ in range(300):
        told = story.run(f"w{story.dice.randrange(5)}", story.about(150.0 * factor))
        assert told is not None
        right.append(abs(told.p50_ms / (150.0 * factor) - 1.0) <= 0.25)
    assert sum(right[30:]) / len(right[30:]) > 0.97
    assert 1 <= len(story.notes) <= 2
    assert all(note.startswith("drift: t ") for note in story.notes)


@pytest.mark.parametrize("noise", [0.02, 0.3, 1.0])
def test_stationary_type_raises_no_alarm(noise: float):
    story = Story(10)
    for _ in range(10_000):
        story.run(f"w{story.dice.randrange(10)}", story.about(150.0, noise))
    assert len(story.notes) < 2
