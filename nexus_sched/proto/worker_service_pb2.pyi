from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_STATUS_UNSPECIFIED: _ClassVar[ReportStatus]
    REPORT_STATUS_ACCEPTED: _ClassVar[ReportStatus]
    REPORT_STATUS_FENCED: _ClassVar[ReportStatus]
    REPORT_STATUS_REFUSED: _ClassVar[ReportStatus]

class InboxKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INBOX_KIND_UNSPECIFIED: _ClassVar[InboxKind]
    INBOX_KIND_TASK: _ClassVar[InboxKind]
    INBOX_KIND_STOP: _ClassVar[InboxKind]
    INBOX_KIND_PREEMPT: _ClassVar[InboxKind]

class RunOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_OUTCOME_UNSPECIFIED: _ClassVar[RunOutcome]
    RUN_OUTCOME_SUCCEEDED: _ClassVar[RunOutcome]
    RUN_OUTCOME_FAILED: _ClassVar[RunOutcome]
    RUN_OUTCOME_TIMED_OUT: _ClassVar[RunOutcome]
    RUN_OUTCOME_CANCELLED: _ClassVar[RunOutcome]
    RUN_OUTCOME_REJECTED: _ClassVar[RunOutcome]
    RUN_OUTCOME_PREEMPTED: _ClassVar[RunOutcome]

class RunReceipt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_RECEIPT_UNSPECIFIED: _ClassVar[RunReceipt]
    RUN_RECEIPT_STALE: _ClassVar[RunReceipt]
    RUN_RECEIPT_ACCEPTED: _ClassVar[RunReceipt]
    RUN_RECEIPT_REPEATED: _ClassVar[RunReceipt]
    RUN_RECEIPT_LATE: _ClassVar[RunReceipt]
    RUN_RECEIPT_RETURNED: _ClassVar[RunReceipt]
REPORT_STATUS_UNSPECIFIED: ReportStatus
REPORT_STATUS_ACCEPTED: ReportStatus
REPORT_STATUS_FENCED: ReportStatus
REPORT_STATUS_REFUSED: ReportStatus
INBOX_KIND_UNSPECIFIED: InboxKind
INBOX_KIND_TASK: InboxKind
INBOX_KIND_STOP: InboxKind
INBOX_KIND_PREEMPT: InboxKind
RUN_OUTCOME_UNSPECIFIED: RunOutcome
RUN_OUTCOME_SUCCEEDED: RunOutcome
RUN_OUTCOME_FAILED: RunOutcome
RUN_OUTCOME_TIMED_OUT: RunOutcome
RUN_OUTCOME_CANCELLED: RunOutcome
RUN_OUTCOME_REJECTED: RunOutcome
RUN_OUTCOME_PREEMPTED: RunOutcome
RUN_RECEIPT_UNSPECIFIED: RunReceipt
RUN_RECEIPT_STALE: RunReceipt
RUN_RECEIPT_ACCEPTED: RunReceipt
RUN_RECEIPT_REPEATED: RunReceipt
RUN_RECEIPT_LATE: RunReceipt
RUN_RECEIPT_RETURNED: RunReceipt

class Capacity(_message.Message):
    __slots__ = ("cpu", "memory", "network_bytes_per_second", "queue_depth", "running", "draining", "shared")
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    QUEUE_DEPTH_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    cpu: float
    memory: float
    network_bytes_per_second: float
    queue_depth: int
    running: int
    draining: bool
    shared: bool
    def __init__(self, cpu: _Optional[float] = ..., memory: _Optional[float] = ..., network_bytes_per_second: _Optional[float] = ..., queue_depth: _Optional[int] = ..., running: _Optional[int] = ..., draining: _Optional[bool] = ..., shared: _Optional[bool] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("slots", "worker_class", "labels", "taints", "resources")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    WORKER_CLASS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    TAINTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    slots: int
    worker_class: str
    labels: _containers.ScalarMap[str, str]
    taints: _containers.RepeatedScalarFieldContainer[str]
    resources: _containers.ScalarMap[str, float]
    def __init__(self, slots: _Optional[int] = ..., worker_class: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., taints: _Optional[_Iterable[str]] = ..., resources: _Optional[_Mapping[str, float]] = ...) -> None: ...

class WorkerCapacity(_message.Message):
    __slots__ = ("worker", "incarnation", "capacity", "offer")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    incarnation: int
    capacity: Capacity
    offer: Offer
    def __init__(self, worker: _Optional[str] = ..., incarnation: _Optional[int] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerCapacity]
    def __init__(self, workers: _Optional[_Iterable[_Union[WorkerCapacity, _Mapping]]] = ...) -> None: ...

class ReportReceipt(_message.Message):
    __slots__ = ("worker", "status", "incarnation", "detail")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    worker: str
    status: ReportStatus
    incarnation: int
    detail: str
    def __init__(self, worker: _Optional[str] = ..., status: _Optional[_Union[ReportStatus, str]] = ..., incarnation: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class ReportResponse(_message.Message):
    __slots__ = ("receipts",)
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[ReportReceipt]
    def __init__(self, receipts: _Optional[_Iterable[_Union[ReportReceipt, _Mapping]]] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("worker", "offer")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    worker: str
    offer: bytes
    def __init__(self, worker: _Optional[str] = ..., offer: _Optional[bytes] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("incarnation",)
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    incarnation: int
    def __init__(self, incarnation: _Optional[int] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("worker", "after", "count", "wait_ms")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    after: str
    count: int
    wait_ms: int
    def __init__(self, worker: _Optional[str] = ..., after: _Optional[str] = ..., count: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class InboxEntry(_message.Message):
    __slots__ = ("entry", "kind", "task_id", "attempt")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    entry: str
    kind: InboxKind
    task_id: str
    attempt: int
    def __init__(self, entry: _Optional[str] = ..., kind: _Optional[_Union[InboxKind, str]] = ..., task_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[InboxEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[InboxEntry, _Mapping]]] = ...) -> None: ...

class CompletedRun(_message.Message):
    __slots__ = ("task_id", "attempt", "entry", "again", "outcome", "completion", "result")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt: int
    entry: str
    again: bool
    outcome: RunOutcome
    completion: bytes
    result: bytes
    def __init__(self, task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., entry: _Optional[str] = ..., again: _Optional[bool] = ..., outcome: _Optional[_Union[RunOutcome, str]] = ..., completion: _Optional[bytes] = ..., result: _Optional[bytes] = ...) -> None: ...

class StartClaim(_message.Message):
    __slots__ = ("task_id", "attempt", "entry")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt: int
    entry: str
    def __init__(self, task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., entry: _Optional[str] = ...) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("worker", "incarnation", "report", "completions", "starts")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    worker: str
    incarnation: int
    report: bytes
    completions: _containers.RepeatedCompositeFieldContainer[CompletedRun]
    starts: _containers.RepeatedCompositeFieldContainer[StartClaim]
    def __init__(self, worker: _Optional[str] = ..., incarnation: _Optional[int] = ..., report: _Optional[bytes] = ..., completions: _Optional[_Iterable[_Union[CompletedRun, _Mapping]]] = ..., starts: _Optional[_Iterable[_Union[StartClaim, _Mapping]]] = ...) -> None: ...

class ClaimAnswer(_message.Message):
    __slots__ = ("granted", "envelope")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    envelope: bytes
    def __init__(self, granted: _Optional[bool] = ..., envelope: _Optional[bytes] = ...) -> None: ...

class StepResponse(_message.Message):
    __slots__ = ("receipts", "claims")
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedScalarFieldContainer[RunReceipt]
    claims: _containers.RepeatedCompositeFieldContainer[ClaimAnswer]
    def __init__(self, receipts: _Optional[_Iterable[_Union[RunReceipt, str]]] = ..., claims: _Optional[_Iterable[_Union[ClaimAnswer, _Mapping]]] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("worker", "incarnation")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    worker: str
    incarnation: int
    def __init__(self, worker: _Optional[str] = ..., incarnation: _Optional[int] = ...) -> None: ...

class LeaveResponse(_message.Message):
    __slots__ = ("returned",)
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    returned: int
    def __init__(self, returned: _Optional[int] = ...) -> None: ...
