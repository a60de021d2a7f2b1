"""Writes the Python messages of `nexus/sched/v1`: `python proto/generate.py [FOLDER]`, into the package by default.

Only messages are generated. Handlers and calls are a table of five lines (`nexus_sched.proto.service`), typed by hand.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT.parent / "nexus_sched" / "proto"
SOURCE = "nexus/sched/v1/worker_service.proto"
SUFFIXES = (".py", ".pyi")


def generate(target: Path) -> list[Path]:
    """Write the generated files into `target`; gives their paths. Raises `SystemExit` if protoc refuses the source."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{ROOT}", f"--python_out={folder}", f"--pyi_out={folder}", SOURCE]
        if code := protoc.main(arguments):
            raise SystemExit(code)
        made = [Path(folder, SOURCE.removesuffix(".proto") + f"_pb2{suffix}") for suffix in SUFFIXES]
        written = [target / path.name for path in made]
        for source, path in zip(made, written, strict=True):
            path.write_bytes(source.read_bytes())
        return written


if __name__ == "__main__":
    for path in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE):
        print(path)
