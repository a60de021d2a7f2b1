r"""Extension modules only; everything else is in pyproject.toml.

`NEXUS_BUILD=debug` builds with -O0 -g; `NEXUS_BUILD=sanitize` adds the address and undefined sanitizers, whose run
time must be loaded before Python's:

    NEXUS_BUILD=sanitize python setup.py build_ext --inplace --force
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
        ASAN_OPTIONS=detect_leaks=0 python -m pytest tests/unit/kernel
    python setup.py build_ext --inplace --force
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = {
    "release": ["-O3", "-g0"],
    "debug": ["-O0", "-g"],
    "sanitize": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
}[os.environ.get("NEXUS_BUILD", "release")]

# -ffp-contract=off: no fused multiply-add, so every machine rounds alike. -fno-trapping-math lets gcc
# turn comparisons into vector blends; neither changes a result. Never -ffast-math, never -march=native.
COMMON = ["-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-Wall"]

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": True,
    "binding": True,
    "auto_pickle": False,  # arrays behind pointers: state travels by snapshot()
    "autotestdict": False,
}


def kernel(module: Path) -> Extension:
    """One compiled module with the C functions linked in; the linker shares nothing between modules."""
    sources = [str(path) for path in sorted(Path("csrc").glob("*.c"))]
    return Extension(
        f"nexus_sched._kernel.{module.stem}",
        [str(module), *sources],
        include_dirs=["csrc"],
        depends=[str(path) for path in sorted(Path("csrc").glob("*.h"))],
        extra_compile_args=FLAGS + COMMON,
        extra_link_args=[flag for flag in FLAGS if flag.startswith("-fsanitize")],
    )


setup(
    ext_modules=cythonize(
        [kernel(path) for path in sorted(Path("nexus_sched/_kernel").glob("*.pyx"))],
        compiler_directives=DIRECTIVES,
        nthreads=0,
    )
)
