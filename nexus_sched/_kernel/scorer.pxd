"""Contract of the scorer between compiled modules."""

cimport cython
from nexus_sched._kernel.worker_table cimport WorkerTable


@cython.final
cdef class Scorer:
    cdef WorkerTable table  # whose rows are scored; not owned
    cdef float *score_column  # J of the last pass, shape (row_capacity,), 64-byte aligned; ms
    cdef float *minima  # least J per block and lane, shape (row_capacity / NEXUS_BLOCK_ROWS, NEXUS_LANES); ms
    cdef float *load_minima  # least load of the near ties per block and lane, shape of minima; ratio
    cdef Py_ssize_t row_capacity  # rows that fit the arrays; count
    cdef float chosen_score_ms  # J of the row picked last, +inf before the first; ms

    cdef int require_bounds(self, double run_ms, double wait_weight) except -1
    cdef int fit(self) except -1
    cdef float score(self, float run_ms, float wait_weight) except? -1.0
