"""The history kernel gives the same bits in every build this machine can run, and under any hash seed."""

from __future__ import annotations

import ctypes
import os
import platform
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compiled import build, compiler

HISTORY_BYTES = 4096
WORKSPACE_BYTES = 1 << 18
ESTIMATE_BYTES = 36
RUNS = 1200
DOUBTFUL = 1  # of nexus_witness.h


class Query(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_int16),
        ("worker_class", ctypes.c_uint16),
        ("worker", ctypes.c_uint16),
        ("hint", ctypes.c_float),
        ("hint_weight", ctypes.c_float),
    )


class Forecast(ctypes.Structure):
    _fields_ = (
        ("low", ctypes.c_float),
        ("p50", ctypes.c_float),
        ("high", ctypes.c_float),
        ("seen", ctypes.c_int64),
    )


def variants() -> dict[str, list[str]]:
    found = {"-O0": ["-O0"], "-O2": ["-O2"], "-O3": ["-O3", "-DNEXUS_NO_CLONES"], "-O3 dispatched": ["-O3"]}
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    if platform.machine() == "x86_64" and {"avx2", "fma", "bmi2"} <= flags:
        found["avx2 fma"] = ["-O3", "-march=x86-64-v3", "-DNEXUS_NO_CLONES"]
    if platform.machine() == "x86_64" and {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd"} <= flags:
        found["avx512"] = ["-O3", "-march=x86-64-v4", "-DNEXUS_NO_CLONES"]
    return found


def replay(library: ctypes.CDLL, seed: int) -> bytes:
    """Every estimate of a random stream, and the history it leaves."""
    dice = random.Random(seed)
    history = ctypes.create_string_buffer(HISTORY_BYTES)
    space = ctypes.create_string_buffer(WORKSPACE_BYTES)
    library.nexus_prepare(space)
    noise, lag = dice.choice((0.0, 0.2, 2.0)), dice.choice((0, 5, 200))
    struck = ctypes.create_string_buffer(HISTORY_BYTES)
    told = bytearray()
    for step in range(RUNS):
        size = dice.choice((0, dice.randrange(12_000, 20_000)))
        query = Query(size, dice.randrange(4), dice.randrange(60), dice.gauss(8, 3), float(step % 7 == 0))
        estimate = ctypes.create_string_buffer(ESTIMATE_BYTES)
        library.nexus_predict(history, space, query, estimate)
        told += estimate.raw
        run_ms = ctypes.c_double(2 ** (size / 2048) * dice.lognormvariate(4, noise) * (1 if step < 700 else 5))
        said = library.nexus_testimony(history, space, query, run_ms, ctypes.c_float(4.9), None, 0)
        told.append(said)
        if said == DOUBTFUL:
            library.nexus_push(history, query, run_ms)
        else:
            p50, low, high = (ctypes.c_float.from_buffer_copy(estimate.raw, at).value for at in (0, 4, 12))
            library.nexus_learn(history, space, query, run_ms, Forecast(low, p50, high, max(step - lag, 0)))
        if step % 100 == 99:
            library.nexus_strike_out(history, space, dice.randrange(1, 60), ctypes.c_float(1.0), struck)
    return bytes(told) + history.raw


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ctypes.CDLL]:
    if compiler() is None:
        pytest.skip("no C compiler in PATH")
    folder = tmp_path_factory.mktemp("history")
    return {
        name: build(folder / f"kernel{number}.so", flags) for number, (name, flags) in enumerate(variants().items())
    }


@pytest.mark.parametrize("seed", range(5))
def test_estimates_and_histories_are_the_same_bits_in_every_build(libraries: dict[str, ctypes.CDLL], seed: int):
    left = {name: replay(library, seed) for name, library in libraries.items()}
    assert len(set(left.values())) == 1, f"seed {seed}: {sorted(left)}"
    assert left["-O0"] != replay(libraries["-O0"], seed + 100), "the stream leaves no mark"


HASH_SEED_SCRIPT = """
import random
from nexus_sched._kernel.history_table import HistoryTable
dice, table = random.Random(1), HistoryTable(20)
for step in range(3000):
    numbers = [dice.randrange(most) for most in (40, 2, 3, 9)]
    like = (f"type-{numbers[0]}", 1e4 * numbers[1], f"class-{numbers[2]}", f"w-{numbers[3]}")
    told = table.predict(*like)
    table.learn(*like, dice.lognormvariate(5, 1), *((told.p10_ms, told.p90_ms, told.samples) if told else ()))
print(table.digest())
"""


def test_digest_does_not_depend_on_the_hash_seed():
    seen = set()
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", HASH_SEED_SCRIPT], capture_output=True, text=True, check=True, env=environment
        )
        seen.add(done.stdout)
    assert len(seen) == 1
    assert seen.pop().strip().isdigit()
