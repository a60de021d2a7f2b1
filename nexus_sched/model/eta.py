"""When a task will start and finish, as told to people."""

from __future__ import annotations

import msgspec
from msgspec import Struct

NO_ESTIMATE = "no estimate yet"


class Eta(Struct, frozen=True, array_like=True, gc=False):
    """An estimate made at `at_ms`; spans in milliseconds from then on. All -1 while there is nothing to go by."""

    at_ms: int
    start_p50_ms: float
    start_p80_ms: float
    start_p95_ms: float
    finish_p50_ms: float
    finish_p80_ms: float
    finish_p95_ms: float
    confidence: float  # 0..1
    basis: str  # which rule the service time comes from; `NO_ESTIMATE` if there is none
    on_time: float = -1.0  # probability that the deadline is met, -1 without one
    recent_within: float = (
        -1.0
    )  # share of the latest estimates at submission that were within 25 %, -1 before the first

    @property
    def known(self) -> bool:
        """Whether there is an estimate at all."""
        return self.finish_p50_ms >= 0.0


encode_eta = msgspec.msgpack.Encoder().encode
decode_eta = msgspec.msgpack.Decoder(Eta).decode
