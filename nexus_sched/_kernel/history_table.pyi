"""The last runs of every task type, and the predictions they give."""

from typing import NamedTuple, Self, final

from typing_extensions import Buffer

class HistoryEstimate(NamedTuple):
    """Predicted service time from like runs. Milliseconds unless said otherwise."""

    p50_ms: float
    mean_ms: float
    p10_ms: float
    p80_ms: float
    p90_ms: float
    p95_ms: float
    alike: float  # effective number of runs behind it
    hit_rate: float  # share of late predictions of this expert that were within 25 %, 0..1
    expert: int  # which one spoke: an index into EXPERT_NAMES
    samples: int  # runs the type had been learned from; hand it back to `learn` as `seen`

USUAL: int  # what other workers say of a run, see `HistoryTable.testimony`
DOUBTFUL: int
NEWS: int
UNTOLD: int
NOT_TAKEN: int  # what `HistoryTable.take` answers; the next two add up
DRIFTED: int
YOUNG: int
EXPERT_NAMES: tuple[str, ...]

def log2(value: float) -> float:
    """log2 by the kernel's own series, to at most 2 ulp; for tests. `value` must be positive and normal."""

def exp2(exponent: float) -> float:
    """2 ** exponent by the kernel's own series, to at most 2 ulp; for tests. Within [-1000, 1000]."""

@final
class HistoryTable:
    """A ring of the newest runs per task type, under 4 KiB each; at most `types_max` types.

    The type learned longest ago gives way to a new one. Workers and classes take no memory of their own: a run
    names them by a 16-bit hash. Raises `KernelError` for numbers out of bounds.
    """

    def __new__(cls, types_max: int = 4096) -> Self: ...
    def __len__(self) -> int: ...
    def samples(self, task_type: str) -> int:
        """Runs ever learned of the type, 0 if it is not kept."""
    def predict(
        self,
        task_type: str,
        payload_bytes: float = 0.0,
        worker_class: str = "",
        worker: str = "",
        hint_ms: float = 0.0,
        hint_weight: float = 0.0,
    ) -> HistoryEstimate | None:
        """`None` if nothing is known of the type and there is no hint. A hint counts as `hint_weight` runs."""
    def class_means(
        self,
        task_type: str,
        payload_bytes: float,
        classes: tuple[str, ...],
        means_ms: Buffer,
        hint_ms: float = 0.0,
        hint_weight: float = 0.0,
    ) -> int:
        """Means for several worker classes and no worker in particular, into the first `len(classes)` C floats of
        `means_ms`, in ms: to the bit `predict(task_type, payload_bytes, each, "", ...).mean_ms` as float32.

        Gives the samples of the type. If nothing is known of it and there is no hint, 0, and nothing is written.
        Raises `KernelError` if the buffer is not of C floats (an `array("f")`) or too short, `TypeError` or
        `BufferError` if it is no writable contiguous buffer or a class is no str. Asked with the same tuple again,
        it need not look at the names. Cost: 0.6 us for one class, each further one that has runs 0.4 us.
        """
    def learn(
        self,
        task_type: str,
        payload_bytes: float,
        worker_class: str,
        worker: str,
        run_ms: float,
        low_ms: float = 0.0,
        high_ms: float = 0.0,
        seen: int = -1,
        p50_ms: float = 0.0,
    ) -> bool:
        """Take in one run; True if it made the drift alarm go off.

        `low_ms`..`high_ms` is the 80 % interval that had been predicted for it (0 if none), `p50_ms` its p50 (else
        the middle), `seen` the `samples` of that prediction (-1: as of now).
        """
    def take(
        self,
        task_type: str,
        payload_bytes: float,
        worker_class: str,
        worker: str,
        run_ms: float,
        proportion: float,
        young_max: int,
        low_ms: float = 0.0,
        high_ms: float = 0.0,
        seen: int = -1,
        p50_ms: float = 0.0,
    ) -> int:
        """`testimony`, and unless that is `DOUBTFUL` `learn`: what most runs need, in one step.

        `NOT_TAKEN`, or a sum: `DRIFTED` if the drift alarm went off, `YOUNG` if the type now has at most `young_max`
        samples.
        """
    def testimony(
        self,
        task_type: str,
        payload_bytes: float,
        worker_class: str,
        worker: str,
        run_ms: float,
        proportion: float,
        held: tuple[tuple[float, str, str, float], ...] = (),
    ) -> int:
        """What other workers' runs say of this one; the worker's own do not count, every other one has one vote.

        `UNTOLD`: nobody can tell; fewer than 16 runs of the type, fewer than two other workers that know such sizes,
        or fewer than twelve runs of others but for the one that has run it most. `USUAL`: within `proportion` times
        of what others take for this size, or a machine up to 24 times slower or faster that runs as ever. `DOUBTFUL`:
        out of proportion, and most of the last five others have neither run like that lately nor ever. `NEWS`: out of
        proportion, but not against most of them.
        `held` are at most 32 doubted runs (payload_bytes, worker_class, worker, run_ms), the newest last: whoever has
        such a run supports others like it. Reads one history, writes nothing.
        """
    def strike_out(self, task_type: str, worker: str, proportion: float) -> list[tuple[int, int]] | None:
        """Take the runs of a worker that are `DOUBTFUL` out of a history; `None` if nobody can tell yet.

        Gives (size, time) of each, in steps of 1/1024 octave of 1 + bytes and of milliseconds. What is left is as
        though they had never been (see csrc/nexus_witness.h).
        """
    def forget(self, task_type: str, worker: str, lies: list[tuple[int, int]]) -> int:
        """Take the runs of a worker that are equal to one of these out of a history; how many there were."""
    def types_of(self, worker: str) -> list[str]:
        """Types whose history holds a run of this worker, the one learned longest ago first."""
    def push(
        self,
        task_type: str,
        payload_bytes: float,
        worker_class: str,
        worker: str,
        run_ms: float,
    ) -> None:
        """Take in one run without judging experts by it."""
    def snapshot(self) -> bytes: ...
    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`, and then nothing has changed."""
    def digest(self, seed: int = 0) -> int: ...
