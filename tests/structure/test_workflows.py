"""The nightly run leaves no fault out, and calls what there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.chaos.scenarios import LOSING, catalogue


def test_nightly_run_strikes_with_every_fault_that_should_be_survived(root: Path):
    nightly = (root / ".github/workflows/nightly.yml").read_text()
    (wanted,) = re.findall(r"grep -oE '(.*?)'", nightly)
    (unwanted,) = re.findall(r"grep -v ([a-z-]+)", nightly)
    named = [each.split('"')[1] for each in re.findall(wanted, (root / "tests/chaos/scenarios.py").read_text())]
    assert (unwanted,) == LOSING
    assert sorted(named) == sorted(catalogue())


def test_workflows_call_targets_that_there_are(root: Path):
    makefile = (root / "Makefile").read_text()
    for workflow in sorted((root / ".github/workflows").glob("*.yml")):
        text = workflow.read_text()
        called = re.findall(r"\bmake ([a-z]+)\b", text) + re.findall(r"what: \[(.*)\]", text)
        for target in (each.strip() for names in called for each in names.split(",")):
            assert f".PHONY: {target}\n" in makefile, f"{workflow.name} calls make {target}"
