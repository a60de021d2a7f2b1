"""A trained model as one file: a line that names the format and a digest, a header for people, the model itself.

    nexus-sched-model 1 <sha256 of all that follows>
    {"name": "boosting", "trained_at": "...", "rows": ..., "schema": {...}, "residuals": {...}, ...}
    <recent times in MessagePack, as many bytes as the header says><the trees as LightGBM writes them>

Law: a file is read whole and checked, or refused with `ModelUnreadable`; it is replaced whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from nexus_sched.errors import NexusError
from nexus_sched.plugins.features import COLUMNS, Schema
from nexus_sched.plugins.recent import RecentState

MAGIC = b"nexus-sched-model"
FORMAT = 1
FILE_BYTES_MAX = 256 * 2**20
SHORT_DIGEST = 16  # digits of the digest by which a model is called


class ModelUnreadable(NexusError):
    """A model file is damaged, is none, or was written for another version."""

    code = "MODEL_UNREADABLE"
    exit_code = 9


class Quantiles(Struct, frozen=True, array_like=True):
    """How far off the trees were on runs they had not seen: log2 of actual / predicted."""

    p10: float
    p50: float  # centre of the densest band of 25 %, which is not the median of a skewed type
    p80: float
    p90: float
    p95: float
    mean_factor: float  # mean of actual / predicted, far outliers bounded


class Header(Struct, frozen=True, kw_only=True):
    """What a model is, and what it needs to be used."""

    name: str
    trained_at: str  # ISO 8601, UTC
    source: str  # what it was trained from
    rows: int
    trees: int
    target: str  # "residual": the trees add to the recent time; "absolute": they say the time itself
    held_out_rows: int
    held_out_within_25: float  # on the newest fifth of the runs, before the model was trained on all
    recent_within_25: float  # the same without trees
    schema: Schema
    residuals: dict[str, Quantiles]  # by type; "" for all types together
    recent_bytes: int


class ModelFile(Struct, frozen=True):
    """The parts of a file."""

    header: Header
    recent: RecentState
    trees: str
    digest: str

    @property
    def called(self) -> str:
        """The name of a predictor that uses exactly this model."""
        return f"{self.header.name}-{self.digest[:SHORT_DIGEST]}"


_decode_recent = msgspec.msgpack.Decoder(list[tuple[str, float, int]]).decode


def pack(header: Header, recent: RecentState, trees: str) -> bytes:
    """The bytes of a file."""
    tail = msgspec.msgpack.encode(recent)
    sized = msgspec.structs.replace(header, recent_bytes=len(tail))
    body = b"%b\n%b%b" % (msgspec.json.encode(sized), tail, trees.encode())
    return b"%b %d %b\n%b" % (MAGIC, FORMAT, hashlib.sha256(body).hexdigest().encode(), body)


def unpack(blob: bytes, origin: str) -> ModelFile:
    """The parts of a file; `origin` is how messages call it. Raises `ModelUnreadable`."""
    first, _, body = blob.partition(b"\n")
    words = first[:200].split(b" ")
    if words[0] != MAGIC or len(words) != 3:
        raise ModelUnreadable(f"{origin} is no model of nexus-sched; `nexus-sched predictor train` writes one")
    if words[1] != b"%d" % FORMAT:
        raise ModelUnreadable(f"{origin} has format {words[1].decode(errors='replace')}, this version reads {FORMAT}")
    digest = hashlib.sha256(body).hexdigest()
    if words[2] != digest.encode():
        raise ModelUnreadable(f"{origin} is damaged: its content has another digest than its first line says")
    head, _, tail = body.partition(b"\n")
    try:
        header = msgspec.json.decode(head, type=Header)
        recent = _decode_recent(tail[: header.recent_bytes])
        trees = tail[header.recent_bytes :].decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelUnreadable(f"{origin} cannot be read: {error}") from error
    if header.schema.columns != list(COLUMNS) or "" not in header.residuals:
        raise ModelUnreadable(f"{origin} was trained on other columns than this version shows: train it again")
    return ModelFile(header, recent, trees, digest)


def read(path: Path) -> bytes:
    """The bytes of a model file. Raises `ModelUnreadable`."""
    try:
        with path.open("rb") as stream:
            blob = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ModelUnreadable(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(blob) > FILE_BYTES_MAX:
        raise ModelUnreadable(f"{path} is larger than {FILE_BYTES_MAX // 2**20} MiB")
    return blob


def write(path: Path, blob: bytes) -> Path:
    """Put a model at `path`, and for good beside it under its digest; gives that path.

    The model under the digest never changes, so a journal that names it stays replayable after `path` is replaced.
    """
    kept = kept_path(path, unpack(blob, str(path)).digest)
    for place in (kept, path):
        _replace(place, blob)
    return kept


def kept_path(path: Path, digest: str) -> Path:
    """Where the model with this digest (or its first digits) lies that belongs to `path`."""
    return path.with_name(f"{path.stem}-{digest[:SHORT_DIGEST]}{path.suffix}")


def _replace(path: Path, blob: bytes) -> None:
    """Write to a new file in the same folder, then rename: readers see the old one or the new one, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(blob)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
