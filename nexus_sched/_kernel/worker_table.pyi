"""Workers as contiguous columns; the arrays that every decision reads."""

from typing import Self, final

import numpy as np
from numpy.typing import NDArray

@final
class WorkerTable:
    """Name -> row in O(1), and one contiguous column per property (float32 unless said otherwise).

    A row is reused after `leave`, with its generation advanced, so a stale (row, generation) is noticed.
    A row is *open* when it accepts and holds fewer tasks than its credit.
    Every method is O(1) and raises `KernelError` for a row that is not live or a non-finite argument.
    Capacity doubles when it is exceeded; nothing is allocated per event below it.
    """

    def __new__(cls, capacity: int = 1024) -> Self: ...
    def __len__(self) -> int: ...  # live workers
    @property
    def rows(self) -> int: ...  # high-water mark of rows, live or free
    @property
    def capacity(self) -> int: ...
    @property
    def open_count(self) -> int: ...
    @property
    def open_classes(self) -> int: ...  # worker classes with an open row
    @property
    def open_class(self) -> int:
        """Index of the only class with an open row, -1 if there are several or none."""
    def open_class_indexes(self) -> list[int]:
        """Indexes of the classes with an open row, ascending. Costs a pass over the classes."""
    def join(self, worker: str, slots: int, credit: int, at_ms: float) -> int:
        """Row of the worker. A name that is already live keeps its row and bookings, generation + 1."""
    def leave(self, row: int) -> None: ...
    def find(self, worker: str) -> int:
        """Row of the worker, -1 if it is not live."""
    def name(self, row: int) -> str: ...
    def generation(self, row: int) -> int: ...
    def set_credit(self, row: int, credit: int) -> None: ...
    def set_accepting(self, row: int, accepting: bool) -> None: ...
    def set_factor(self, row: int, factor: float) -> None:
        """Learned slowness against the type's mean, 1.0 = average; scales the predicted run time."""
    def set_class(self, row: int, index: int) -> None:
        """Dense index of the worker's class, below `rows`; 0 after a join until it is set."""
    def class_index(self, row: int) -> int: ...
    def set_share(self, row: int, share: float) -> None:
        """Part of its slots that others leave to the worker, 1/16 to 1: what waits there takes longer by as much."""
    def share(self, row: int) -> float: ...
    def set_now(self, at_ms: float) -> None:
        """Let the waits be those of this instant, milliseconds since the epoch; 0 until it is told.

        Costs a pass over the rows if it has changed: 0.3 us for 1000.
        """
    def set_free_at(self, row: int, at_ms: float) -> None:
        """When a slot of a worker without a free one is expected to be free for one more task.

        A booking, a settlement or another share expects it to be when the booked work is done, at the rate of slots *
        share, as if nothing of it had been done yet. While a slot is free this is ignored.
        """
    def next_within_ms(self, wait_max_ms: float) -> float:
        """Milliseconds until the wait of another open row is at most this, -1 if there is none to come.

        Costs a pass over the rows.
        """
    def wait_ms(self, row: int) -> float:
        """From now until a slot is expected to be free for one more task; 0 while one is."""
    def factor(self, row: int) -> float: ...
    def bias_ms(self, row: int) -> float: ...
    def set_bias(self, row: int, bias_ms: float) -> None:
        """Sum of all per-worker terms of the score (health, balance, exploration), in milliseconds."""
    def book(self, row: int, work_ms: float) -> None:
        """One more task in flight, `work_ms` of predicted work more."""
    def settle(self, row: int, work_ms: float) -> None:
        """One task less; booked work never falls below 0 and is exactly 0 when nothing is in flight."""
    def heard(self, row: int, at_ms: float) -> None: ...
    def heard_at_ms(self, row: int) -> float: ...  # float64: milliseconds since the epoch
    def in_flight(self, row: int) -> int: ...
    def slots(self, row: int) -> int: ...
    def credit(self, row: int) -> int: ...
    def booked_ms(self, row: int) -> float: ...
    def column(self, name: str) -> NDArray[np.float32]:
        """A copy of a column over all rows, free ones included.

        wait_ms, factor, bias_ms, closed, load, share, booked_ms, in_flight, slots, credit or class_index.
        """
    def snapshot(self) -> bytes:
        """Everything, in a versioned little-endian layout that does not depend on the machine."""
    def restore(self, blob: bytes) -> None:
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`."""
    def digest(self, seed: int = 0) -> int:
        """64-bit digest of all state; equal state, equal digest, on every machine."""
