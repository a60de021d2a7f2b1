"""What is known of a worker: what it offers, and where it stands."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct, structs

from nexus_sched.model.demands import resources_in_order
from nexus_sched.model.ids import check_label, check_label_value, check_taint, check_worker_class
from nexus_sched.model.task import Amount

SLOTS_MAX = 4096
LABELS_MAX = 64
TAINTS_MAX = 16
RESOURCES_MAX = 16
SILENCE_MS_MIN, SILENCE_MS_MAX = 1_000, 300_000
PACK_REPORTS_MAX = 256
NETWORK_BYTES_S_MAX = 1e15

Label = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=128)]


class WorkerStanding(Enum):
    """Whether a worker is given tasks. Only `ACCEPTING` is."""

    ACCEPTING = "accepting"
    DRAINING = "draining"  # finishes what it runs, takes nothing new
    CORDONED = "cordoned"  # an operator wants it to take nothing new; it keeps what it has
    BROKEN = "broken"  # its breaker is open: too many runs failed there
    SUSPECT = "suspect"  # heartbeats late; trusted again at the next one
    GONE = "gone"


class WorkerOffer(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a worker says of itself when it registers: a MessagePack map with these keys."""

    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    worker_class: Text = ""
    labels: Annotated[dict[Label, Text], Meta(max_length=LABELS_MAX)] = {}
    package_version: Annotated[str, Meta(max_length=32)] = ""
    taints: Annotated[tuple[Text, ...], Meta(max_length=TAINTS_MAX)] = ()  # it takes only tasks that tolerate them
    resources: Annotated[dict[Label, Amount], Meta(max_length=RESOURCES_MAX)] = {}
    # how long it may be silent before it counts as lost, if that is longer than the scheduler waits for others
    silence_ms: Annotated[int, Meta(ge=SILENCE_MS_MIN, le=SILENCE_MS_MAX)] | None = None


def checked_offer(offer: WorkerOffer) -> WorkerOffer:
    """The same offer with everything in order of its name. Raises `InvalidInput` for a name that is out of bounds."""
    labels = offer.labels
    return WorkerOffer(
        slots=offer.slots,
        worker_class=check_worker_class(offer.worker_class),
        labels={check_label(label): check_label_value(labels[label]) for label in sorted(labels)},
        package_version=offer.package_version,
        taints=tuple(sorted({check_taint(taint) for taint in offer.taints})),
        resources=dict(resources_in_order(offer.resources)),
        silence_ms=offer.silence_ms,
    )


class WorkerReport(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A capacity report: a MessagePack map with these keys. Shares are 0..1 of the whole machine."""

    draining: bool = False
    running: Annotated[int, Meta(ge=0, le=SLOTS_MAX)] = 0
    queued: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    cpu: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    memory: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    network_bytes_s: Annotated[float, Meta(ge=0.0, le=NETWORK_BYTES_S_MAX)] | None = None  # in and out together
    shared: bool = False  # other workers run there too: how busy the machine is says little of this one
    labels: Annotated[dict[Label, Text], Meta(max_length=LABELS_MAX)] | None = None  # they have changed
    resources: Annotated[dict[Label, Amount], Meta(max_length=RESOURCES_MAX)] | None = None  # they have changed


def says_as_much(report: WorkerReport, former: WorkerReport) -> bool:
    """Whether a report says nothing that the former one did not. What the network does changes all the time: it travels
    with what is new, and is no news.
    """
    return structs.replace(report, network_bytes_s=former.network_bytes_s) == former


class PackedReport(Struct, frozen=True, array_like=True):
    """One of many reports in one entry of `rep`: a MessagePack array of this is the document of the kind `pack`."""

    worker: Text
    incarnation: Annotated[int, Meta(ge=0, le=2**31)]
    report: WorkerReport


def checked_report(report: WorkerReport) -> WorkerReport:
    """The same report with everything in order of its name. Raises `InvalidInput` for a name that is out of bounds."""
    labels, resources = report.labels, report.resources
    if labels is None and resources is None:
        return report
    return structs.replace(
        report,
        labels=None
        if labels is None
        else {check_label(name): check_label_value(labels[name]) for name in sorted(labels)},
        resources=None if resources is None else dict(resources_in_order(resources)),
    )


class WorkerState(Struct, frozen=True, kw_only=True):
    """A worker as status pages show it."""

    worker: str
    standing: WorkerStanding
    worker_class: str
    slots: int
    in_flight: int
    booked_ms: float
    incarnation: int
    heard_age_ms: float  # since the scheduler last heard of it
