"""`nexus-sched predictor list|show|train|compare`, and the units that run them every night."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nexus_sched.cli import exit_codes, main
from nexus_sched.cli.app import build_app
from nexus_sched.cli.predictor_compare import words
from nexus_sched.plugins import model_file
from nexus_sched.plugins.contest import judge
from tests.unit.plugins.material import runs

READY_TIMEOUT_S = 60.0


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A trace in which the payload decides, by type."""
    rows = [
        f"{run.predicted_at_ms / 1e3},{run.ended_at_ms / 1e3},{run.task_type},{run.payload_bytes},{run.worker},"
        f"{run.worker_class},{run.run_ms / 1e3}"
        for run in runs(800)
    ]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["submit_ts,end_ts,task_type,payload_size,worker,worker_class,duration_s", *rows]) + "\n")
    return path


@pytest.fixture
def boosted() -> None:
    pytest.importorskip("lightgbm", reason="the extra `ml` is not installed")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = exit_codes.OK) -> dict:
    found = main(["predictor", *arguments, "--json"])
    output = capsys.readouterr()
    assert found == code, output.err
    assert output.out.count("\n") == 1
    return json.loads(output.out)


def test_list_names_what_the_package_brings(capsys: pytest.CaptureFixture[str]):
    rows = printed(capsys, "list")["predictors"]
    assert [row["name"] for row in rows][:3] == ["ema", "learned", "boosting"]
    assert {row["problem"] for row in rows} == {""}
    assert main(["predictor", "list"]) == exit_codes.OK
    assert "can be used" in capsys.readouterr().out


def test_train_writes_a_model_and_show_tells_what_is_in_it(
    boosted: None, trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    answer = printed(capsys, "train", "--from-trace", str(trace), "--out", "model.nxm")
    assert (answer["rows"], answer["types"], answer["source"]) == (797, 3, "runs.csv")
    assert answer["held_out_within_25"] > answer["recent_within_25"] + 0.3
    assert Path(answer["kept"]).read_bytes() == Path("model.nxm").read_bytes()
    shown = printed(capsys, "show", "model.nxm")
    assert {**shown, "file": answer["file"], "kept": answer["kept"]} == answer
    assert main(["predictor", "show", "model.nxm"]) == exit_codes.OK
    assert answer["predictor"] in capsys.readouterr().out


def test_train_shows_its_progress_on_standard_error(boosted: None, trace: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predictor", "train", "--from-trace", str(trace), "--out", "model.nxm"]) == exit_codes.OK
    output = capsys.readouterr()
    assert output.out == ""
    for phase in ("gathering runs: 800 runs", "residual time: done", "absolute time: done", "all runs: done"):
        assert phase in output.err
    assert "nexus-sched predictor load model.nxm" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one source"),
        (["--from-trace", "a.csv", "--from-journal"], "name one source"),
        (["--from-trace", "missing.csv"], "missing.csv: No such file"),
        (["--from-trace", "a.csv", "--every", "0s"], "--every must be longer"),
        (["--from-trace", "a.csv", "--every", "day"], "'day' is not a duration"),
    ],
)
def test_train_refuses_what_makes_no_sense(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    found = printed(capsys, "train", "--out", "model.nxm", *arguments, code=exit_codes.USAGE)
    assert message in found["error"]["message"]
    assert not Path("model.nxm").exists()


def test_train_without_the_extra_says_what_to_install(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    arguments = ("train", "--from-trace", str(trace), "--out", "model.nxm")
    found = printed(capsys, *arguments, code=exit_codes.BAD_CONFIGURATION)
    assert found["error"]["code"] == "EXTRA_MISSING"
    assert "pip install 'nexus-sched[ml]'" in found["error"]["message"]


def test_show_of_a_damaged_model_is_refused(boosted: None, trace: Path, capsys: pytest.CaptureFixture[str]):
    printed(capsys, "train", "--from-trace", str(trace), "--out", "model.nxm")
    Path("model.nxm").write_bytes(Path("model.nxm").read_bytes()[:-1])
    found = printed(capsys, "show", "model.nxm", code=exit_codes.VERIFICATION_FAILED)
    assert found["error"]["code"] == "MODEL_UNREADABLE"


def test_compare_names_the_better_one_and_the_worse_one_fails_the_gate(
    boosted: None, trace: Path, capsys: pytest.CaptureFixture[str]
):
    flags = ("--trace", str(trace), "--require-better")
    won = printed(capsys, "compare", "boosting", "ema", *flags)
    assert won["verdict"]["winner"] == "boosting"
    assert won["verdict"]["tasks"] == 400
    assert won["verdict"]["low"] > 0.2
    lost = printed(capsys, "compare", "ema", "boosting", *flags, code=exit_codes.GATE_FAILED)
    assert lost["verdict"]["winner"] == "boosting"
    assert lost["verdict"]["difference"] == -won["verdict"]["difference"]
    same = printed(capsys, "compare", "ema", "ema", *flags, code=exit_codes.GATE_FAILED)
    assert same["verdict"]["winner"] == ""


def test_compare_tells_people_who_wins(boosted: None, trace: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predictor", "compare", "boosting", "ema", "--trace", str(trace)]) == exit_codes.OK
    output = capsys.readouterr()
    assert "boosting wins over ema; boosting against ema: +" in output.out
    assert "boosting: done" in output.err


def test_compare_takes_a_model_file_and_the_daily_one(boosted: None, trace: Path, capsys: pytest.CaptureFixture[str]):
    printed(capsys, "train", "--from-trace", str(trace), "--out", "model.nxm")
    flags = ("--trace", str(trace), "--model", "model.nxm")
    found = printed(capsys, "compare", "boosting", "boosting-daily", *flags)
    assert found["predictors"]["boosting"]["within_25"] > 0.8, "it was trained on these very tasks"
    assert found["predictors"]["boosting-daily"]["coverage"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("boosted", "ema"), exit_codes.BAD_CONFIGURATION, "CONFIG_INVALID"),
        (("ema", "learned", "--score-from", "1.5"), exit_codes.USAGE, "INVALID_INPUT"),
        (("boosting", "ema", "--model", "missing.nxm"), exit_codes.OK, ""),
    ],
)
def test_compare_with_mistakes(
    boosted: None, trace: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, error: str
):
    found = printed(capsys, "compare", *arguments, "--trace", str(trace), code=code)
    if error:
        assert found["error"]["code"] == error
    else:
        assert found["predictors"]["boosting"]["coverage"] == 0.0, "without a file it collects and does not answer"


def test_undecided_verdict_is_told_as_such():
    assert words(judge("a", "b", [True, False], [True, False])).startswith("undecided between a and b")


def test_train_every_goes_on_until_it_is_told_to_stop(boosted: None, trace: Path, tmp_path: Path):
    command = ["predictor", "train", "--from-trace", str(trace), "--out", "model.nxm", "--every", "200ms", "--json"]
    with (tmp_path / "errors.log").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "nexus_sched", *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        give_up_at_s = time.monotonic() + READY_TIMEOUT_S
        log = tmp_path / "errors.log"
        while log.read_text().count("Load it into the shadow") < 2:
            assert process.poll() is None and time.monotonic() < give_up_at_s, log.read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=READY_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == exit_codes.OK
    answer = json.loads(output)
    assert answer["trained"] >= 2
    assert model_file.unpack((tmp_path / "model.nxm").read_bytes(), "model").called == answer["last"]["predictor"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".model")], "a half-written file was left"


def test_units_run_commands_that_exist(root: Path):
    unit = configparser.ConfigParser(strict=False, interpolation=None, dict_type=_Repeating)
    unit.optionxform = str
    unit.read(root / "deploy/systemd/nexus-sched-train.service")
    commands = [line for line in unit["Service"]["ExecStart"].splitlines() if line]
    assert len(commands) == 2
    for line in commands:
        program, name, *arguments = shlex.split(line.replace("${STATE_DIRECTORY}", os.fspath(root)))
        assert (program, name) == ("/usr/bin/env", "nexus-sched")
        build_app().parse_args(arguments, exit_on_error=False, print_error=False)
    timer = (root / "deploy/systemd/nexus-sched-train.timer").read_text()
    assert "OnCalendar=*-*-* 03:15:00" in timer


class _Repeating(dict):
    """Keeps all values of a key that is there more than once, as systemd does."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)
