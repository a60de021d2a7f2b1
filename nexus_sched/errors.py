"""Every error of the package: one tree, each leaf with a stable code.

Logs, metrics, HTTP problems, exit codes and documentation share the codes. A code is never renamed or
reused. Expected results are values (`nexus_sched.model.outcome`); an exception means a broken contract
or a broken world.
"""

from __future__ import annotations

from typing import ClassVar


class NexusError(Exception):
    """Base of all errors raised on purpose. `code` is stable, `exit_code` is what a command exits with."""

    code: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 1


class InvalidInput(NexusError):
    """A value from outside breaks its documented bounds."""

    code = "INVALID_INPUT"
    exit_code = 2


class ConfigInvalid(NexusError):
    """The configuration cannot be used. `problems` holds one line for every finding."""

    code = "CONFIG_INVALID"
    exit_code = 3

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(NexusError):
    """The store did not do what was asked. Subclasses are the typed states of the port."""

    code = "STORE_ERROR"
    exit_code = 4


class StoreUnreachable(StoreError):
    """No connection, or it broke; whether the last write was applied is unknown until asked."""

    code = "STORE_UNREACHABLE"


class StoreLoading(StoreError):
    """The server is reading its data set from disk. Passes by itself."""

    code = "STORE_LOADING"


class StoreReadOnly(StoreError):
    """The server is a replica, or one that has lost its primary (READONLY, MASTERDOWN)."""

    code = "STORE_READ_ONLY"


class StoreClusterDown(StoreError):
    """The cluster cannot serve this shard's slot: too many nodes are gone, or nobody owns it (CLUSTERDOWN)."""

    code = "STORE_CLUSTER_DOWN"


class StoreMoved(StoreError):
    """The shard is on its way to another server, or there already (MOVED, ASK, TRYAGAIN). Nothing was executed."""

    code = "STORE_MOVED"


class StoreNotReplicated(StoreError):
    """Too few replicas have it (NOREPLICAS, or WAIT in vain). What was written may stand: repeat it, it counts once."""

    code = "STORE_NOT_REPLICATED"


class StoreOutOfMemory(StoreError):
    """`maxmemory` is reached; submissions are refused, draining calls still pass."""

    code = "STORE_OUT_OF_MEMORY"


class StoreNotPersisting(StoreError):
    """The server cannot write its own files (MISCONF)."""

    code = "STORE_NOT_PERSISTING"


class StoreAuthRefused(StoreError):
    """Wrong or missing credentials, or rights (WRONGPASS, NOAUTH, NOPERM)."""

    code = "STORE_AUTH_REFUSED"
    exit_code = 7


class StoreUnsuitable(StoreError):
    """The server is configured so that tasks could be lost (evicting policy) or is too old."""

    code = "STORE_UNSUITABLE"
    exit_code = 3


class ProtocolNewer(StoreUnsuitable):
    """A scheduler of a later protocol has led this shard: this version does not know what it wrote."""

    code = "PROTOCOL_NEWER"


class ShardsDiffer(NexusError):
    """The configuration splits a pool into another number of shards than it was settled with."""

    code = "SHARDS_DIFFER"
    exit_code = 3


class StateLost(StoreError):
    """What this shard had written is gone or has gaps. Refused instead of silently starting afresh."""

    code = "STATE_LOST"
    exit_code = 9


class VersionsDiffer(StoreError):
    """What another version decided last cannot be carried out by this one, and it left no snapshot behind it."""

    code = "VERSIONS_DIFFER"
    exit_code = 9


class Fenced(StoreError):
    """Somebody else holds the lease or the worker name now; the caller must stop acting at once."""

    code = "FENCED"
    exit_code = 6


# States that pass by themselves, as a rule within seconds: whoever can wait repeats what may be repeated.
PASSING = (StoreUnreachable, StoreLoading, StoreReadOnly, StoreClusterDown, StoreMoved, StoreNotReplicated)


class QueueFull(NexusError):
    """The bound on queued tasks or bytes is reached. `retry_after_ms` says when to try again."""

    code = "BUSY"
    exit_code = 1

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class TaskFailed(NexusError):
    """Raised by `result()`: the task ended without a result. `outcome` names how."""

    code = "TASK_FAILED"

    def __init__(self, task_id: str, outcome: str, reason: str) -> None:
        super().__init__(f"task {task_id} ended as {outcome}: {reason}")
        self.task_id = task_id
        self.outcome = outcome
        self.reason = reason


class ResultPending(NexusError):
    """Raised by `result(timeout=...)`: the task has not ended yet."""

    code = "RESULT_PENDING"


class TaskUnknown(NexusError):
    """No task of this id is known, or it ended longer ago than results are kept."""

    code = "TASK_UNKNOWN"
    exit_code = 5


class AnswerMissing(NexusError):
    """A question was not answered in time: no scheduler leads this pool, or it is overwhelmed."""

    code = "NO_ANSWER"
    exit_code = 4


class Unauthenticated(NexusError):
    """Nobody knows who asks: no token, or one that is unknown, revoked or expired."""

    code = "UNAUTHENTICATED"
    exit_code = 7


class Forbidden(NexusError):
    """It is known who asks, and they may not."""

    code = "NOT_ALLOWED"
    exit_code = 7


class RateLimited(NexusError):
    """More requests than one client may send. `retry_after_ms` says when to try again."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Busy(NexusError):
    """Too many do the same already. Passes by itself."""

    code = "TOO_MANY"


class PreconditionFailed(NexusError):
    """What was to be changed is not what the caller has read before (`If-Match`)."""

    code = "PRECONDITION_FAILED"
    exit_code = 6


class Conflict(NexusError):
    """What was to be changed is not what the caller believes it to be, or cannot be changed as it is now."""

    code = "CONFLICT"
    exit_code = 6


class WorkerUnknown(NexusError):
    """No worker of this name is registered in the pool."""

    code = "WORKER_UNKNOWN"
    exit_code = 5


class PoolUnknown(NexusError):
    """No scheduler has ever served this pool here."""

    code = "POOL_UNKNOWN"
    exit_code = 5


class OverrideUnknown(NexusError):
    """No override is in force for this."""

    code = "OVERRIDE_UNKNOWN"
    exit_code = 5


class AuditKeyInvalid(NexusError):
    """A key of the audit trail cannot be used: it is of another kind, or its file is open to others."""

    code = "AUDIT_KEY_INVALID"
    exit_code = 3


class ListenRefused(NexusError):
    """An address cannot be listened on: somebody else does, or it is not this machine's."""

    code = "LISTEN_REFUSED"
    exit_code = 4


class SnapshotUnreadable(NexusError):
    """A snapshot or journal entry is of an unknown format or damaged."""

    code = "SNAPSHOT_UNREADABLE"
    exit_code = 9


class PredictorUnkept(NexusError):
    """A predictor cannot say what it has learned, so no snapshot can be taken while it plays a part."""

    code = "PREDICTOR_UNKEPT"

    def __init__(self, name: str, shadow: bool, reason: str) -> None:
        super().__init__(f"predictor {name} cannot be written down: {reason}")
        self.name = name
        self.shadow = shadow


class KernelError(NexusError):
    """The compiled core refused its input or produced a non-finite number."""

    code = "KERNEL_ERROR"
