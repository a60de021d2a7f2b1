"""The C functions give the same bits at every optimisation level and vector width this machine can run."""

from __future__ import annotations

import ctypes
import platform
import random
import subprocess
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.compiled import build, compiler

BLOCK_ROWS, LANES = 256, 32
ROUNDS = 60


def variants() -> dict[str, list[str]]:
    found = {"-O0": ["-O0"], "-O2": ["-O2"], "-O3": ["-O3", "-DNEXUS_NO_CLONES"], "-O3 dispatched": ["-O3"]}
    flags = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
    if platform.machine() == "x86_64" and {"avx2", "fma", "bmi2"} <= flags:
        found["avx2"] = ["-O3", "-mavx2", "-DNEXUS_NO_CLONES"]
        found["avx2 fma"] = ["-O3", "-march=x86-64-v3", "-DNEXUS_NO_CLONES"]
    if platform.machine() == "x86_64" and {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd"} <= flags:
        found["avx512"] = ["-O3", "-march=x86-64-v4", "-DNEXUS_NO_CLONES"]
    return found


class Library:
    """The C functions of one build, called with Python arrays."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self.functions = functions
        self.functions.nexus_score.restype = ctypes.c_float
        self.functions.nexus_best.restype = self.functions.nexus_select.restype = ctypes.c_ssize_t
        self.functions.nexus_digest.restype = ctypes.c_uint64

    def decide(
        self, columns: list[array], rows: int, run_ms: float, rotation: int, margin: float, terms: tuple[bool, ...]
    ) -> tuple:
        """Columns: wait, factor, bias, closed, load, class, means, extra; `terms`: whether by class, extra, balance."""
        blocks = -(-rows // BLOCK_ROWS)
        scores = array("f", bytes(4 * blocks * BLOCK_ROWS))
        minima = array("f", bytes(4 * blocks * LANES))
        scratch = array("f", minima)
        address = [ctypes.c_void_p(column.buffer_info()[0]) for column in columns]
        scored, least_of, load_of = (ctypes.c_void_p(each.buffer_info()[0]) for each in (scores, minima, scratch))
        by_class, with_extra, with_balance = terms
        least = self.functions.nexus_score(
            *address[:6],
            address[6] if by_class else None,
            ctypes.c_ssize_t(len(columns[6])),
            address[7] if with_extra else None,
            ctypes.c_ssize_t(blocks),
            ctypes.c_float(run_ms),
            ctypes.c_float(2.0),
            ctypes.c_float(7.3 if with_balance else 0.0),
            scored,
            least_of,
        )
        best = self.functions.nexus_best(scored, least_of, ctypes.c_ssize_t(blocks), ctypes.c_float(least))
        threshold = ctypes.c_float(least + margin if least < float("inf") else 1e30)
        row = self.functions.nexus_select(
            scored,
            least_of,
            address[4],
            ctypes.c_ssize_t(rows),
            ctypes.c_ssize_t(rotation),
            threshold,
            load_of,
        )
        return scores.tobytes(), minima.tobytes(), array("f", [least]).tobytes(), best, row

    def average(self, values: list[float], alpha: float) -> tuple[bytes, bytes, bytes]:
        mean, variance, samples = array("d", [0.0]), array("d", [0.0]), array("q", [0])
        address = [ctypes.c_void_p(column.buffer_info()[0]) for column in (mean, variance, samples)]
        for value in values:
            self.functions.nexus_average_learn(
                *address, ctypes.c_ssize_t(0), ctypes.c_double(alpha), ctypes.c_double(value)
            )
        return mean.tobytes(), variance.tobytes(), samples.tobytes()

    def digest(self, data: bytes, seed: int) -> int:
        return self.functions.nexus_digest(data, ctypes.c_ssize_t(len(data)), ctypes.c_uint64(seed))


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Library]:
    if compiler() is None:
        pytest.skip("no C compiler in PATH")
    folder = tmp_path_factory.mktemp("kernel")
    return {
        name: Library(build(folder / f"kernel{number}.so", flags))
        for number, (name, flags) in enumerate(variants().items())
    }


def random_columns(dice: random.Random, rows: int) -> list[array]:
    """wait, factor, bias, closed, load, class, means and extra, padded with closed rows to whole blocks."""
    padded = -(-rows // BLOCK_ROWS) * BLOCK_ROWS
    closed_share = dice.choice((0.0, 0.5, 1.0))
    tie = dice.random() < 0.3
    columns = [array("f", [0.0] * padded) for _ in range(5)]
    for row in range(padded):
        columns[0][row] = 0.0 if tie else dice.choice((0.0, dice.lognormvariate(5, 2), 1e15))
        columns[1][row] = 1.0 if tie else dice.lognormvariate(0, 0.5)
        columns[2][row] = 0.0 if tie else dice.choice((0.0, dice.gauss(0, 30), -1e15, 1e-44))
        columns[3][row] = float("inf") if row >= rows or dice.random() < closed_share else 0.0
        columns[4][row] = dice.choice((0.0, 0.25, 1 / 3, 1.5))
    class_count = dice.choice((1, 3, 8, 9, 40))
    classes = array("i", (dice.randrange(class_count) for _ in range(padded)))
    means = array("f", (dice.lognormvariate(4, 2) for _ in range(class_count)))
    extra = array("f", (dice.choice((0.0, -3.3, 17.0, float("inf"))) for _ in range(padded)))
    return [*columns, classes, means, extra]


def rounds() -> Iterator[tuple[int, random.Random]]:
    for seed in range(ROUNDS):
        yield seed, random.Random(seed)


def test_scores_and_choices_are_the_same_bits_in_every_build(libraries: dict[str, Library]):
    for seed, dice in rounds():
        rows = dice.choice((1, 15, 17, 255, 256, 257, 600, 1000))
        columns = random_columns(dice, rows)
        question = (
            rows,
            dice.choice((0.0, 3.3, dice.lognormvariate(4, 2), 1e15)),
            dice.randrange(rows),
            dice.random() * 9,
            tuple(dice.random() < 0.5 for _ in range(3)),
        )
        answers = {name: library.decide(columns, *question) for name, library in libraries.items()}
        assert len(set(answers.values())) == 1, (
            f"seed {seed}: {[(name, answer[3:]) for name, answer in answers.items()]}"
        )


def test_averages_are_the_same_bits_in_every_build(libraries: dict[str, Library]):
    for seed, dice in rounds():
        values = [dice.lognormvariate(4, 3) for _ in range(100)]
        alpha = dice.choice((0.1, 1 / 3, 0.007))
        assert len({library.average(values, alpha) for library in libraries.values()}) == 1, f"seed {seed}"


def test_digests_are_the_same_in_every_build(libraries: dict[str, Library]):
    for seed, dice in rounds():
        data = dice.randbytes(dice.randrange(200))
        assert len({library.digest(data, seed) for library in libraries.values()}) == 1, f"seed {seed}"


def test_gcc_on_glibc_really_emits_the_wider_clones(libraries: dict[str, Library]):
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    major = subprocess.run([compiler(), "-dumpversion"], capture_output=True, text=True, check=True).stdout.split(".")[
        0
    ]
    known = platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc" and "Free Software" in version
    if not known or int(major.split(".")[0]) < 12:
        pytest.skip("only gcc >= 12 for x86-64 and glibc is known to emit clones")
    path = Path(libraries["-O3 dispatched"].functions._name)
    for clone in (b"nexus_score.arch_x86_64_v3", b"nexus_score.arch_x86_64_v4"):
        assert clone in path.read_bytes()
