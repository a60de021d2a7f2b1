"""Requests at a rate, or as fast as they are answered.

Law: the latency of a paced request counts from the instant at which it was due, so that a gateway which stands still
for a while is charged with everybody who came meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from itertools import count

from benchmarks.gateway.wire import Answer, Wire, connect
from benchmarks.throughput.level import quantile
from nexus_sched.units import MS_PER_S

SATURATION = 0.0  # stands for "as fast as they are answered"


class Seen:
    """What came of a load."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self.statuses: Counter[int] = Counter()
        self.latencies_ms: list[float] = []
        self.answers: list[Answer] = []  # only if they are kept

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.latencies_ms)

    def calmest_ms(self, share: float, requests: int) -> float:
        """The lowest `quantile_ms` of any so many requests in a row: what it is while nobody else needs the machine."""
        last = max(1, self.requests - requests + 1)
        windows = (self.latencies_ms[first : first + requests] for first in range(0, last, requests))
        return round(min(quantile(sorted(window), share) for window in windows), 2)

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the requests did not exceed."""
        return round(quantile(sorted(self.latencies_ms), share), 2)


async def arrive(
    url: str, request: Callable[[int], bytes], requests: int, rate: float, connections: int, *, keep: bool = False
) -> Seen:
    """Send `request(0)` ... `request(requests - 1)` at `rate` a second, over some connections."""
    seen, numbers = Seen(), count()
    wires = await asyncio.gather(*(connect(url) for _ in range(connections)))
    began_s = time.monotonic()

    async def serve(wire: Wire) -> None:
        while (number := next(numbers)) < requests:
            due_s = began_s + number / rate if rate else time.monotonic()
            if (early_s := due_s - time.monotonic()) > 0.0:
                await asyncio.sleep(early_s)
            answer = await wire.ask(request(number))
            seen.latencies_ms.append((time.monotonic() - due_s) * MS_PER_S)
            seen.statuses[answer.status] += 1
            if keep:
                seen.answers.append(answer)

    try:
        await asyncio.gather(*(serve(wire) for wire in wires))
    finally:
        for wire in wires:
            wire.close()
    seen.spent_s = time.monotonic() - began_s
    return seen
