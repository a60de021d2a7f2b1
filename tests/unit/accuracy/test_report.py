"""The report over a folder of traces: a page that stands alone, and the figures beside it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nexus_sched.accuracy.goals import GOALS, goals_of
from nexus_sched.accuracy.measure import measure
from nexus_sched.accuracy.report import share, write_report
from nexus_sched.cli import exit_codes, main
from tests.unit.accuracy.traces import HEADER, Silence, row, write


def pack(directory: Path, name: str, rows: list[str], header: str = HEADER) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.csv.gz"
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))
    return path


def test_report_covers_all_traces_and_leaves_out_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    traces, output = tmp_path / "traces", tmp_path / "page"
    pack(traces, "aws_lambda_pacs", [row(number, number, 0.5) for number in range(600)])
    pack(traces, "other<b>", [row(number, number, 2.0 + number % 3, "x.y") for number in range(50)])
    pack(traces, "speeds", ["w,1"], header="worker,speed")
    assert main(["bench", "report", str(traces), "--output", str(output), "--json"]) == exit_codes.OK
    said = capsys.readouterr()
    assert "speeds.csv.gz:1: no column duration_s" in said.err
    answer = json.loads(said.out)
    assert answer["page"] == str(output / "index.html")
    assert [Path(found["trace"]).name for found in answer["traces"]] == ["aws_lambda_pacs.csv.gz", "other<b>.csv.gz"]
    assert json.loads((output / "scores.json").read_text()) == answer["traces"]
    page = (output / "index.html").read_text()
    assert '<td class="missed">99.8 %</td>' in page  # the goal is 100 %, and the first task has no prediction
    assert "other&lt;b&gt;" in page
    assert "<b>" not in page
    assert not re.search(r"https?://|<script|src=", page)


def test_report_pictures_are_well_formed_and_hold_the_points(tmp_path: Path):
    path = write(tmp_path, [row(number, number, 1.0 + number % 5) for number in range(700)])
    page = write_report([measure(path, ["learned", "ema"], Silence())], tmp_path / "page").read_text()
    pictures = [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page)]
    assert len(pictures) == 3  # two clouds, one of the quantiles
    dots = next(part for part in pictures[0].iter() if part.get("class") == "dots")
    assert str(dots.get("d")).count("h0") == 699
    assert len([part for part in pictures[2].iter() if part.tag == "circle"]) == 10


def test_report_of_a_trace_without_predictions_says_so(tmp_path: Path):
    path = write(tmp_path, [row(0, 0, 1.0)])
    page = write_report([measure(path, ["ema"], Silence())], tmp_path / "page").read_text()
    assert "no predictions" in page


def test_report_share_of_a_family_counts_its_types_only(tmp_path: Path):
    rows = [
        row(number, number, 0.5 if number % 2 else 0.5 * 4 ** (number % 3), f"fa{number % 2}:t") for number in range(60)
    ]
    found = measure(write(tmp_path, rows), ["ema"], Silence())
    assert share(found, "ema", "fa1") == pytest.approx(29 / 30)
    assert share(found, "ema", "fa0") < 0.5
    assert share(found, "ema", "") == found.scores["ema"].within_25
    assert share(found, "ema", "absent") is None


def test_report_without_traces_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "report", str(tmp_path)]) == exit_codes.USAGE
    assert "there is no trace in it" in capsys.readouterr().err
    pack(tmp_path, "speeds", ["w,1"], header="worker,speed")
    assert main(["bench", "report", str(tmp_path)]) == exit_codes.USAGE
    assert "none of its files is a trace" in capsys.readouterr().err


def test_goals_are_fractions_and_unknown_traces_have_none():
    assert all(value is None or 0.0 < value <= 1.0 for goal in GOALS for value in (goal.baseline, goal.goal))
    assert [goal.family for goal in goals_of("wfinstances")] == ["", "1000genome", "srasearch", "epigenomics"]
    assert [goal.goal for goal in goals_of("unheard")] == [None]
