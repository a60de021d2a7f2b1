"""One row per executed task, from a CSV file or its gzip, in bounded memory.

Laws of this file: a file is read as a stream and never held; a row is returned whole and checked, or the
reading ends with `InvalidInput` that names file and line; nothing is guessed, an empty cell is `None`.

The format: a header line, then rows in the order of `submit_ts`. The columns of `COLUMNS` are known here,
of which only `REQUIRED` must be there; further columns are ignored. Rows without a type are all of one type.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from nexus_sched.errors import InvalidInput

REQUIRED = ("duration_s",)
ONE_TYPE = "task"  # the type of rows that name none
COLUMNS = (
    "submit_ts",
    "start_ts",
    "end_ts",
    "task_type",
    "payload_size",
    "worker",
    "worker_class",
    "duration_s",
    "status",
    "instance",
)
UNSUCCESSFUL = frozenset(
    (
        *("failed", "failure", "error", "timeout", "timed-out", "timed_out"),
        *("cancelled", "canceled", "killed", "preempted", "evicted", "rejected"),
    )
)
LINE_LENGTH_MAX = 65_536  # characters; a longer line is not a trace
GZIP_MAGIC = b"\x1f\x8b"


class TraceRow(Struct, frozen=True, gc=False):
    """One executed task. Instants are seconds of the trace's own clock, `None` where it knows none."""

    line: int  # in the file, the header is line 1
    task_type: str
    duration_s: float  # service time, without the wait in a queue; finite, may be 0
    submit_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    payload_size: float | None = None  # known before the run; its unit is the trace's
    worker: str = ""
    worker_class: str = ""
    status: str = ""
    instance: str = ""  # the same piece of work measured on several machines has one name

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end, as far as its status says."""
        return self.duration_s > 0.0 and self.status.lower() not in UNSUCCESSFUL


def read_trace(path: Path, payload_column: str = "payload_size") -> Iterator[TraceRow]:
    """All rows of a trace, one at a time; `payload_size` is read from the column `payload_column`.

    Whether it is compressed is seen from its first bytes, not from its name. Raises `InvalidInput` with
    file and line at the first row that cannot be understood.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            with gzip.open(raw, "rb") if packed else raw as stream:
                yield from _rows(path, stream, payload_column)
    except OSError as error:  # gzip.BadGzipFile is one of these
        raise InvalidInput(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: the compressed data is damaged or cut short: {error}") from error


class _Stream(Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...


class _Lines:
    """Text lines of a byte stream, bounded in length. `number` is the line that was read last."""

    def __init__(self, path: Path, stream: _Stream) -> None:
        self.number = 0
        self._path = path
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(LINE_LENGTH_MAX + 1):
            self.number += 1
            if len(line) > LINE_LENGTH_MAX:
                raise self.invalid(f"longer than {LINE_LENGTH_MAX} bytes")
            try:
                yield line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise self.invalid(f"not UTF-8: {error.reason}") from error

    def invalid(self, problem: str) -> InvalidInput:
        return InvalidInput(f"{self._path}:{self.number}: {problem}")


def _rows(path: Path, stream: _Stream, payload_column: str) -> Iterator[TraceRow]:
    lines = _Lines(path, stream)
    cells = csv.reader(iter(lines), strict=True)
    try:
        header = next(cells, None)
        if header is None:
            raise InvalidInput(f"{path}: the file is empty; its first line must name the columns")
        places = _places(header, payload_column, lines)
        for row in cells:
            if row:  # a blank line is no row
                yield _row(row, places, len(header), lines)
    except csv.Error as error:
        raise lines.invalid(str(error)) from error


def _places(header: list[str], payload_column: str, lines: _Lines) -> dict[str, int]:
    origins = {name: name for name in COLUMNS} | {"payload_size": payload_column}
    required = [*REQUIRED, *([payload_column] if payload_column != "payload_size" else [])]
    missing = [name for name in required if name not in header]
    if missing:
        raise lines.invalid(f"no column {' and '.join(missing)} in the header {','.join(header)[:200]!r}")
    repeated = sorted({origin for origin in origins.values() if header.count(origin) > 1})
    if repeated:
        raise lines.invalid(f"column {repeated[0]} is there more than once")
    return {name: header.index(origin) for name, origin in origins.items() if origin in header}


def _row(cells: list[str], places: dict[str, int], width: int, lines: _Lines) -> TraceRow:
    if len(cells) != width:
        raise lines.invalid(f"{len(cells)} cells where the header has {width}")

    def text(name: str) -> str:
        place = places.get(name)
        return "" if place is None else cells[place].strip()

    def number(name: str) -> float | None:
        cell = text(name)
        if not cell:
            return None
        try:
            value = float(cell)
        except ValueError:
            raise lines.invalid(f"{name} {cell[:80]!r} is not a number") from None
        if not math.isfinite(value):
            raise lines.invalid(f"{name} {cell[:80]!r} is not finite")
        return value

    task_type, duration_s, payload_size = text("task_type"), number("duration_s"), number("payload_size")
    if duration_s is None:
        raise lines.invalid("duration_s is empty")
    if duration_s < 0 or (payload_size is not None and payload_size < 0):
        raise lines.invalid("duration_s and payload_size must not be negative")
    return TraceRow(
        line=lines.number,
        task_type=task_type or ONE_TYPE,
        duration_s=duration_s,
        submit_s=number("submit_ts"),
        start_s=number("start_ts"),
        end_s=number("end_ts"),
        payload_size=payload_size,
        worker=text("worker"),
        worker_class=text("worker_class"),
        status=text("status"),
        instance=text("instance"),
    )
