"""What a disk does to a server that trusts it: power cuts, torn writes, no space left.

A small library (`disk.c`), compiled when it is needed, is loaded into the server before its own. It notes how far
each append-only file was synced, so a power cut can be played truly: what was written but not synced is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.chaos.options import Skipped

SOURCE = Path(__file__).with_name("disk.c")
SYNC_US = 2_000  # a good disk's sync
TORN = b"*3\r\n$3\r\nSET\r\n$9\r\nneve"  # a command whose end never reached the disk


class Disk:
    """The disk of the server in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._full = directory / "full"
        self._library = directory / "disk.so"

    def environment(self) -> dict[str, str]:
        """What a server's environment must hold. Compiles the library; raises `Skipped` without a compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skipped("no C compiler for the library between server and disk")
        command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        return {
            "LD_PRELOAD": str(self._library),
            "NEXUS_CHAOS_FULL": str(self._full),
            "NEXUS_CHAOS_SYNC_US": str(SYNC_US),
        }

    def power_cut(self) -> int:
        """Take from the files what was never synced (the server must be dead); gives how many bytes that were."""
        lost = 0
        for path in self._files():
            note = path.with_name(path.name + ".synced")
            if note.exists():
                synced_bytes = int(note.read_text())
                lost += path.stat().st_size - synced_bytes
                os.truncate(path, synced_bytes)
        return lost

    def tear(self) -> None:
        """Leave half a command at the end of the newest file (the server must be dead)."""
        newest = max(self._files(), key=lambda path: path.stat().st_mtime_ns)
        with newest.open("ab") as file:
            file.write(TORN)

    def fill(self) -> None:
        """From now on there is no space left."""
        self._full.touch()

    def free(self) -> None:
        """There is space again."""
        self._full.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return list(self._directory.glob("**/*.incr.aof"))
