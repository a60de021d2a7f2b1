"""From the messages of the gRPC interface to the documents of the protocol. Pure functions; every bound is theirs."""

from __future__ import annotations

import msgspec

from nexus_sched.errors import InvalidInput
from nexus_sched.model.ids import check_worker_id
from nexus_sched.model.worker import WorkerOffer, WorkerReport, checked_offer, checked_report
from nexus_sched.proto import worker_service_pb2 as messages

SHARE_STEP = 0.05  # of processors and memory; smaller differences are not worth a report
_encode = msgspec.msgpack.Encoder().encode


def worker_of(said: messages.WorkerCapacity) -> str:
    """The id of the worker. Raises `InvalidInput`."""
    return check_worker_id(said.worker)


def report_of(said: messages.WorkerCapacity) -> WorkerReport:
    """How busy a worker is, with labels and resources if it sent an offer. Raises `InvalidInput`."""
    capacity = said.capacity
    offered = said.HasField("offer")
    fields = {
        "draining": capacity.draining,
        "running": capacity.running,
        "queued": capacity.queue_depth,
        "cpu": _share(capacity.cpu) if capacity.HasField("cpu") else None,
        "memory": _share(capacity.memory) if capacity.HasField("memory") else None,
        "network_bytes_s": _rounded(capacity.network_bytes_per_second)
        if capacity.HasField("network_bytes_per_second")
        else None,
        "shared": capacity.shared,
        "labels": dict(said.offer.labels) if offered else None,
        "resources": dict(said.offer.resources) if offered else None,
    }
    try:
        return checked_report(msgspec.convert(fields, WorkerReport))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the report of a worker breaks a bound: {error}") from None


def offer_of(said: messages.WorkerCapacity, silence_ms: int) -> bytes:
    """The document by which a worker registers that lives by its reports. Raises `InvalidInput`."""
    if not said.HasField("offer"):
        raise InvalidInput("a worker registers with its offer: there is none, and incarnation 0 asks to register")
    offer = said.offer
    fields = {
        "slots": offer.slots or 1,
        "worker_class": offer.worker_class,
        "labels": dict(offer.labels),
        "taints": tuple(offer.taints),
        "resources": dict(offer.resources),
        "silence_ms": silence_ms,
    }
    try:
        return _encode(checked_offer(msgspec.convert(fields, WorkerOffer)))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the offer of a worker breaks a bound: {error}") from None


def _share(value: float) -> float:
    """In steps of `SHARE_STEP`; what is out of bounds stays so, and is refused where bounds are checked."""
    if not 0.0 <= value <= 1.0:
        return value
    return round(round(value / SHARE_STEP) * SHARE_STEP, 2)


def _rounded(value: float) -> float:
    """To two digits: what differs by less is not worth a report."""
    return float(f"{value:.1e}")
