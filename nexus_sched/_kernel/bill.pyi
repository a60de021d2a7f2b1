"""What a choice was based on, in bytes that are written down with it."""

from typing_extensions import Buffer

from nexus_sched._kernel.scorer import Scorer
from nexus_sched._kernel.worker_table import WorkerTable

ROWS_MAX: int

def bill(
    scorer: Scorer, chosen: int, top: int, transfer_ms: float, base_ms: Buffer | None, turn: int
) -> tuple[bytes, tuple[str, ...], str, float]:
    """The bill of the last choice, its workers, whom round robin would have taken, and what the others promised.

    Rows: `chosen`, then the open workers of least score, `top` in all (at most `ROWS_MAX`), then the one of round robin
    if it is not among them; it takes the first worker at or behind `turn` (modulo rows, cyclic) that accepts and may
    run the task, whatever it holds. `transfer_ms` is what all workers have in common, `base_ms` the part of `extra_ms`
    of that choice that is not fit. The promise is the least wait + run of the other open rows, +inf without any. The
    layout is that of csrc/nexus_bill.h, `nexus_sched.model.bill` reads it.

    Reads wait_ms, factor, bias_ms, load, class_index, accepting, the scores and the buffers; writes nothing. Some
    0.3 us at 1000 rows.
    """

def in_turn(table: WorkerTable, extra_ms: Buffer | None, turn: int) -> str:
    """Whom round robin would take, as in `bill`; empty if there is none."""

def funnel(
    table: WorkerTable, standing: Buffer, forbidden: Buffer | None, extra_ms: Buffer | None
) -> tuple[int, int, int, int, int, int, int, int, int, int]:
    """How many workers there are, how many are open to a task, and how many are not for which first reason.

    In the order of `nexus_sched.model.bill.FUNNEL`. The buffers are over the rows, padded to whole blocks: `standing`
    and `forbidden` hold unsigned bytes as in csrc/nexus_bill.h, `extra_ms` floats. One pass.
    """

def left_open(
    table: WorkerTable,
    standing: Buffer,
    forbidden: Buffer | None,
    extra_ms: Buffer | None,
    former: tuple[int, ...],
) -> tuple[int, int, int, int, int, int, int, int, int, int]:
    """What `funnel` would answer, from what it answered without `extra_ms` while no worker's standing was another.

    Counts only what bookings and resources change. Some 0.1 us at 1000 rows.
    """
