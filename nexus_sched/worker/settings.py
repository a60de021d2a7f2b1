"""How one worker runs, checked once."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import WORKER_ID_LENGTH_MAX, check_worker_class, check_worker_id
from nexus_sched.model.worker import SLOTS_MAX, WorkerOffer, checked_offer

DRAIN_TIMEOUT_S_DEFAULT = 30.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerOffer).decode


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """What a worker offers, and its rhythm. The intervals are those of the protocol page."""

    worker_id: str
    slots: int
    worker_class: str = ""
    labels: Mapping[str, str] = {}
    taints: Sequence[str] = ()  # it takes only tasks that tolerate them all
    resources: Mapping[str, float] = {}  # what it has to give, for all its tasks together
    alone: bool = False  # on its machine: what others take of the processors there makes its slots count less
    drain_timeout_s: float = DRAIN_TIMEOUT_S_DEFAULT
    heartbeat_s: float = 1.0  # a step at least this often
    report_s: float = 5.0  # a capacity report at most this often, and only if something changed
    reconcile_s: float = 5.0  # the inbox is read from the start at least this often
    remember_s: float = 5.0  # how long acknowledged completions are kept to be told again

    def __post_init__(self) -> None:
        check_worker_id(self.worker_id)
        check_worker_class(self.worker_class)
        if not 1 <= self.slots <= SLOTS_MAX:
            raise InvalidInput(f"slots is {self.slots}, allowed are 1 to {SLOTS_MAX}")
        if not 0.0 <= self.drain_timeout_s <= 86_400.0:
            raise InvalidInput(f"a drain timeout of {self.drain_timeout_s} s is out of bounds")
        self.offer()

    def offer(self) -> bytes:
        """What it says of itself when it registers. Raises `InvalidInput` for what the scheduler would refuse."""
        offer = WorkerOffer(
            slots=self.slots,
            worker_class=self.worker_class,
            labels=dict(self.labels),
            taints=tuple(self.taints),
            resources=dict(self.resources),
        )
        encoded = _encode(checked_offer(offer))
        try:
            _decode(encoded)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"the worker cannot offer this: {error}") from None
        return encoded


def default_worker_id() -> str:
    """`<host>-<process>-<random>`: no two workers of a pool share it, and people can tell where it runs."""
    tail = f"-{os.getpid()}-{secrets.token_hex(2)}"
    host = re.sub(r"[^A-Za-z0-9._:-]", "-", socket.gethostname()) or "worker"
    return host[: WORKER_ID_LENGTH_MAX - len(tail)] + tail


def default_slots() -> int:
    """One slot per processor."""
    return os.cpu_count() or 1
