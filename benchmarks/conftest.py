"""The C functions in loops of their own, built once per run."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from benchmarks.compiled import build, compiler


@pytest.fixture(scope="session")
def loops(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if compiler() is None:
        pytest.skip("no C compiler in PATH")
    target = tmp_path_factory.mktemp("loops") / "loops.so"
    library = build(target, ["-O3"], [Path(__file__).parent / "csrc" / "repeat.c"])
    library.repeat_read.restype = ctypes.c_float
    library.repeat_score.restype = library.repeat_score_all.restype = ctypes.c_float
    library.repeat_select.restype = ctypes.c_ssize_t
    return library
