"""Scores all workers for one task and picks one: csrc/nexus_score.c over the columns of a `WorkerTable`.

Law: a closed row scores +inf, an open one a finite number; anything else is a `KernelError`, never a choice.
"""

cimport cython
from libc.math cimport INFINITY, isfinite
from libc.stdlib cimport free
from libc.string cimport memcpy

from nexus_sched._kernel.columns cimport FACTOR_MAX, MS_MAX, Columns
from nexus_sched._kernel.worker_table cimport WorkerTable

from nexus_sched.errors import KernelError


cdef extern from "nexus_score.h" nogil:
    const Py_ssize_t NEXUS_BLOCK_ROWS
    const Py_ssize_t NEXUS_LANES
    float nexus_score(
        const float *wait_ms, const float *factor, const float *bias_ms, const float *closed_ms, Py_ssize_t blocks,
        float run_ms, float wait_weight, float *scores, float *minima
    ) noexcept
    Py_ssize_t nexus_select(
        const float *scores, const float *minima, const float *load, Py_ssize_t rows, Py_ssize_t rotation,
        float threshold, float *load_minima
    ) noexcept

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size) noexcept


cdef Py_ssize_t ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@cython.final
cdef class Scorer:
    """J_w = wait_weight * wait_w + run_ms * factor_w + bias_w over all open rows of a table; lower is better."""

    def __cinit__(self, WorkerTable table not None):
        self.table = table
        self.chosen_score_ms = INFINITY
        self.fit()

    def __dealloc__(self):
        free(self.score_column)
        free(self.minima)
        free(self.load_minima)

    def choose(
        self, double run_ms, double wait_weight, double near_tie_share, double near_tie_ms, long long rotation
    ):
        """Row of the best worker, -1 if no row is open. Raises `KernelError` if a score is not finite.

        Reads wait_ms, factor, bias_ms, closed and load; writes the scores. One pass over the rows, a second one
        over the blocks that hold a near tie.
        """
        self.require_bounds(run_ms, wait_weight)
        if not (0.0 <= near_tie_share <= FACTOR_MAX and 0.0 <= near_tie_ms <= MS_MAX):
            raise KernelError(f"near tie of {near_tie_share!r} * run + {near_tie_ms!r} ms is out of bounds")
        cdef WorkerTable table = self.table
        if table.open_rows == 0:
            return -1
        cdef float least = self.score(<float>run_ms, <float>wait_weight)
        if not isfinite(least):
            raise KernelError(f"the best score of {table.open_rows} open workers is {least!r}")
        cdef float margin = <float>near_tie_share * <float>run_ms
        if <float>near_tie_ms > margin:
            margin = <float>near_tie_ms
        cdef Py_ssize_t first = rotation % table.row_count
        if first < 0:
            first += table.row_count
        cdef Py_ssize_t row = nexus_select(
            self.score_column, self.minima, table.columns.load, table.row_count, first, least + margin,
            self.load_minima
        )
        if row < 0:
            raise KernelError("no row reaches the best score")
        self.chosen_score_ms = self.score_column[row]
        return row

    @property
    def score_ms(self):
        """J of the row that the last `choose` picked, +inf before the first."""
        return self.chosen_score_ms

    def scores(self, double run_ms, double wait_weight):
        """J of every row, +inf for those that are not open. For explanations and tests."""
        import numpy  # here, not above: a scheduler that never asks for scores does not pay for numpy

        self.require_bounds(run_ms, wait_weight)
        self.score(<float>run_ms, <float>wait_weight)
        values = numpy.empty(self.table.row_count, numpy.float32)
        cdef float[::1] target = values
        if self.table.row_count:
            memcpy(&target[0], self.score_column, self.table.row_count * sizeof(float))
        return values

    cdef int require_bounds(self, double run_ms, double wait_weight) except -1:
        """Below these bounds no product or sum of finite columns overflows float32. NaN is in no bounds."""
        if not (0.0 <= run_ms <= MS_MAX and 0.0 <= wait_weight <= FACTOR_MAX):
            raise KernelError(f"run_ms {run_ms!r} or wait_weight {wait_weight!r} is out of bounds")
        return 0

    cdef int fit(self) except -1:
        """Make room for as many rows as the table has; on failure nothing has changed."""
        cdef Py_ssize_t rows = self.table.row_capacity
        cdef Py_ssize_t minima_bytes = rows // NEXUS_BLOCK_ROWS * NEXUS_LANES * sizeof(float)
        cdef float *score_column = <float *>aligned_alloc(ALIGNMENT, rows * sizeof(float))
        cdef float *minima = <float *>aligned_alloc(ALIGNMENT, minima_bytes)
        cdef float *load_minima = <float *>aligned_alloc(ALIGNMENT, minima_bytes)
        if score_column == NULL or minima == NULL or load_minima == NULL:
            free(score_column)
            free(minima)
            free(load_minima)
            raise MemoryError(f"scores of {rows} workers")
        self.score_column, score_column = score_column, self.score_column
        self.minima, minima = minima, self.minima
        self.load_minima, load_minima = load_minima, self.load_minima
        self.row_capacity = rows
        free(score_column)
        free(minima)
        free(load_minima)
        return 0

    cdef float score(self, float run_ms, float wait_weight) except? -1.0:
        """Score all rows; the least score, +inf if no row is open."""
        cdef WorkerTable table = self.table
        if self.row_capacity < table.row_capacity:
            self.fit()
        cdef Columns *columns = &table.columns
        cdef Py_ssize_t blocks = (table.row_count + NEXUS_BLOCK_ROWS - 1) // NEXUS_BLOCK_ROWS
        return nexus_score(
            columns.wait_ms, columns.factor, columns.bias_ms, columns.closed_ms, blocks, run_ms, wait_weight,
            self.score_column, self.minima
        )
