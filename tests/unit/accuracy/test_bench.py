"""`nexus-sched bench predict`: figures of small traces that are known beforehand, the JSON it prints, its errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main
from tests.unit.accuracy.traces import recorded_slice, row, write

PLUGIN = """
from nexus_sched.core.predictors.ema import EmaPredictor

made = EmaPredictor
broken = 1


def raising(settings):
    raise RuntimeError("no engine")
"""


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def measured(capsys: pytest.CaptureFixture[str], path: Path, *flags: str) -> dict:
    assert main(["bench", "predict", "--trace", str(path), "--json", *flags]) == exit_codes.OK
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    return json.loads(output)


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["bench", "predict", *arguments])
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return code, " ".join(output.err.split())


def test_bench_json_has_exactly_the_documented_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, [row(number, number, 0.5) for number in range(600)])
    found = measured(capsys, path)
    assert found.keys() == {"trace", "tasks", "predictors"}
    assert (found["trace"], found["tasks"]) == (str(path), 600)
    assert found["predictors"].keys() == {"learned", "ema"}
    page = (Path(__file__).parents[3] / "docs/how-to/measure-accuracy.md").read_text()
    for score in found["predictors"].values():
        for name in (
            *("within_25", "median_ape", "off_2x", "coverage", "interval_80_coverage", "interval_80_width"),
            *("second_half_within_25", "predict_ns", "learn_ns", "mean_abs_ln", "mean_min_max", "digest", "notices"),
        ):
            assert name in score
            assert f"`{name}`" in page
        assert len(score["types"]) == 1
        for name in ("residual_sigma", "ceiling", "core_sigma", "core_ceiling"):
            assert name in score["types"][0]
            assert f"`{name}`" in page


def test_bench_of_constant_durations_is_all_right_but_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = measured(capsys, write(tmp_path, [row(number, number, 0.5) for number in range(1_000)]))
    for name, score in found["predictors"].items():
        tolerance = 0.1 if name == "learned" else 1e-9  # it aims at the band, not at its middle
        assert (score["within_25"], score["coverage"]) == (0.999, 0.999)
        assert score["second_half_within_25"] == 1.0
        assert score["median_ape"] == pytest.approx(0.0, abs=tolerance)
        assert score["off_2x"] == 0.0
        assert score["mean_min_max"] == pytest.approx(1.0, abs=tolerance)
        assert score["mean_abs_ln"] == pytest.approx(0.0, abs=tolerance)
        assert score["predict_ns"] > 0
        assert score["types"][0]["residual_sigma"] == pytest.approx(0.0, abs=tolerance)


def test_bench_delayed_feedback_hides_results_until_their_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, [row(submit_s, submit_s, 10) for submit_s in (0, 5, 9.5, 10, 20)])
    delayed = measured(capsys, path, "--predictors", "ema")["predictors"]["ema"]
    immediate = measured(capsys, path, "--predictors", "ema", "--feedback", "immediate")["predictors"]["ema"]
    assert (delayed["coverage"], immediate["coverage"]) == (0.4, 0.8)


def test_bench_at_start_knows_what_ended_while_a_task_waited(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, [row(number, number * 10, 10) for number in range(5)])
    at_submit = measured(capsys, path, "--predictors", "ema", "--at", "submit")["predictors"]["ema"]
    at_start = measured(capsys, path, "--predictors", "ema", "--at", "start")["predictors"]["ema"]
    assert (at_submit["coverage"], at_start["coverage"]) == (0.0, 0.8)
    assert (at_submit["median_ape"], at_start["within_25"]) == (None, 0.8)


def test_bench_needs_only_durations_and_drops_zeros(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = measured(capsys, write(tmp_path, ["1", "0", "1", "1"], header="duration_s"))
    assert found["tasks"] == 3
    assert found["predictors"]["learned"]["coverage"] == pytest.approx(2 / 3)


def test_bench_other_column_may_hold_the_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [f"{1 + number * 7 % 50},{1 + number * 7 % 50}" for number in range(400)]
    path = write(tmp_path, rows, header="tokens,duration_s")
    without = measured(capsys, path, "--predictors", "learned")["predictors"]["learned"]
    sized = measured(capsys, path, "--predictors", "learned", "--payload-column", "tokens")["predictors"]["learned"]
    assert sized["within_25"] > 0.8 > 0.6 > without["within_25"]


def test_bench_in_words_shows_every_predictor(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path, [row(number, number, 0.5) for number in range(10)])
    assert main(["bench", "predict", "--trace", str(path)]) == exit_codes.OK
    output = capsys.readouterr()
    assert "90.0 %" in output.out
    assert "learned: types that take most time" in output.out
    assert "10 tasks" in output.err


def test_bench_takes_factories_of_modules(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "bench_plugin.py").write_text(PLUGIN)
    path = write(tmp_path, [row(number, number, 0.5) for number in range(10)])
    found = measured(capsys, path, "--predictors", "bench_plugin:made, ema")["predictors"]
    assert found["bench_plugin:made"]["digest"] == found["ema"]["digest"]
    for name, words in (
        ("bench_plugin:absent", "cannot be loaded: AttributeError"),
        ("bench_absent:made", "cannot be loaded: ModuleNotFoundError"),
        ("bench_plugin:broken", "cannot be made: TypeError"),
        ("bench_plugin:raising", "cannot be made: RuntimeError('no engine')"),
    ):
        code, said = failed(capsys, "--trace", str(path), "--predictors", name)
        assert code == exit_codes.NOT_FOUND
        assert words in said


@pytest.mark.parametrize(
    ("rows", "flags", "code", "words"),
    [
        (["0,0,1,a,,,,x,"], [], 2, "trace.csv:2: duration_s 'x' is not a number"),
        (["0,0,1,a,,,,1,", "0,0,1"], [], 2, "trace.csv:3: 3 cells where the header has 9"),
        (["0,0,1,a,,,,0,"], [], 2, "no row has a duration above zero"),
        ([], [], 2, "no row has a duration above zero"),
        (["0,0,1,a,,,,1,"], ["--payload-column", "tokens"], 2, "trace.csv:1: no column tokens"),
        (["0,0,1,a,,,,1,"], ["--predictors", "emma"], 5, "no predictor is called 'emma'; did you mean `ema`?"),
        (["0,0,1,a,,,,1,"], ["--predictors", ","], 2, "--predictors names none"),
        (["0,0,1,a,,,,1,"], ["--at", "noon"], 2, "--at"),
        (["0,0,1,a,,,,1,"], ["--feedback", "never"], 2, "--feedback"),
    ],
)
def test_bench_fault_is_told_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[str], flags: list[str], code: int, words: str
):
    found, said = failed(capsys, "--trace", str(write(tmp_path, rows)), *flags)
    assert (found, words in said) == (code, True), said


def test_bench_without_a_file_says_which(capsys: pytest.CaptureFixture[str]):
    code, said = failed(capsys, "--trace", "absent.csv")
    assert (code, "nexus-sched: absent.csv: No such file" in said) == (2, True)
    assert main(["bench", "predict", "--trace", "absent.csv", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "INVALID_INPUT"


def test_bench_baseline_trains_itself_on_what_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")
    path = write(tmp_path, [row(number, number, 0.25 * 4 ** (number % 2), f"t{number % 2}") for number in range(450)])
    scores = measured(capsys, path, "--predictors", "ema", "--baselines")["predictors"]
    assert scores.keys() == {"ema", "boosting"}
    assert scores["boosting"]["coverage"] == pytest.approx(250 / 450, abs=0.01)  # its first training takes 200 runs
    assert scores["boosting"]["within_25"] == scores["boosting"]["coverage"]


def test_bench_without_the_extra_goes_on_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # what an import of something absent finds
    path = write(tmp_path, [row(number, number, 0.5) for number in range(10)])
    assert main(["bench", "predict", "--trace", str(path), "--json", "--baselines"]) == exit_codes.OK
    output = capsys.readouterr()
    assert json.loads(output.out)["predictors"].keys() == {"learned", "ema"}
    assert "Without the baseline: predictor 'boosting' cannot be made" in output.err
    assert "nexus-sched[ml]" in output.err
    assert failed(capsys, "--trace", str(path), "--predictors", "boosting")[0] == exit_codes.NOT_FOUND


def test_bench_digest_is_the_same_under_any_hash_seed(tmp_path: Path, root: Path):
    path = recorded_slice("wfinstances", 2_000, tmp_path)
    digests = []
    for seed in ("0", "4711"):
        command = [sys.executable, "-m", "nexus_sched", "bench", "predict", "--json", "--trace", str(path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True, timeout=60)
        scores = json.loads(done.stdout)["predictors"]
        digests.append({name: (score["digest"], score["within_25"]) for name, score in scores.items()})
    assert digests[0] == digests[1]
    assert digests[0]["learned"][0] != digests[0]["ema"][0]


@pytest.mark.parametrize("name", ["azure_vm_noise_dev", "azure_llm_2023", "llmperf_leaderboard", "aws_lambda_pacs"])
def test_bench_learned_beats_the_moving_average_on_recorded_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    scores = measured(capsys, recorded_slice(name, 4_000, tmp_path))["predictors"]
    assert scores["learned"]["within_25"] >= scores["ema"]["within_25"]
    assert 0.7 <= scores["learned"]["interval_80_coverage"] <= 0.9
    assert scores["learned"]["coverage"] > 0.99
