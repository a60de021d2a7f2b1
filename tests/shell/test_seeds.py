"""A thousand stories, every seed that ever failed, and that a story does not change when it is told again."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.shell.faults import KINDS
from tests.shell.regressions import REGRESSIONS
from tests.shell.run import kind_of, run

SEEDS = 1_000
NONCE = re.compile("[0-9a-f]{16}")  # drawn by the product, and only ever compared
STRIKING_SEEDS_MAX = 40
SHARD = 50  # seeds in one test, so that tests can be spread over processes


@pytest.mark.parametrize("first", range(0, SEEDS, SHARD))
def test_seeds_break_no_law(first: int):
    verdicts = [run(seed, kind_of(seed)) for seed in range(first, first + SHARD)]
    assert [(verdict.command, verdict.broken) for verdict in verdicts if verdict.broken] == []
    assert sum(verdict.tasks for verdict in verdicts) > SHARD


@pytest.mark.parametrize("found", REGRESSIONS, ids=lambda found: f"{found.kind}-{found.seed}")
def test_seed_that_once_failed_does_not_fail_again(found):
    verdict = run(found.seed, found.kind)
    assert verdict.broken == [], found.reason


def test_kinds_strike_with_all_their_faults():
    for kind, faults in KINDS.items():
        wanted, struck = {fault.__name__ for fault in faults}, set()
        for seed in range(STRIKING_SEEDS_MAX):
            if struck != wanted:
                struck |= run(seed, kind).faults.keys()
        assert struck == wanted


@pytest.mark.parametrize("kind", ["mix", "storm", "shards-storm"])
def test_story_is_the_same_in_another_process(kind: str):
    command = [sys.executable, "-m", "tests.shell", "--seed", "5", "--kind", kind, "--verbose"]
    told = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        told.add(NONCE.sub("nonce", done.stdout))
    assert len(told) == 1
