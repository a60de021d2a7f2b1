"""The nightly run leaves no fault out, and calls what there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.chaos.scenarios import LOSING, catalogue


def test_nightly_run_strikes_with_every_fault_that_should_be_survived(root: Path):
    lines = (root / ".github/workflows/nightly.yml").read_text().splitlines()
    begin = next(index for index, line in enumerate(lines) if line.strip() == "scenario:")
    named = []
    for line in lines[begin + 1 :]:
        entry = re.fullmatch(r"\s+- ([a-z-]+)", line)
        if entry is None:
            break
        named.append(entry[1])
    assert sorted(named) == sorted(set(catalogue()) - set(LOSING))


def test_workflows_call_targets_that_there_are(root: Path):
    makefile = (root / "Makefile").read_text()
    for workflow in sorted((root / ".github/workflows").glob("*.yml")):
        text = workflow.read_text()
        called = re.findall(r"\bmake ([a-z]+)\b", text) + re.findall(r"what: \[(.*)\]", text)
        for target in (each.strip() for names in called for each in names.split(",")):
            assert f".PHONY: {target}\n" in makefile, f"{workflow.name} calls make {target}"
