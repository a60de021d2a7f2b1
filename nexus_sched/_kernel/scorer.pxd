"""Contract of the scorer between compiled modules."""

cimport cython
from nexus_sched._kernel.worker_table cimport WorkerTable


cdef enum:
    TERMS_MAX = 16  # terms of single rows in one question; count


cdef int take_floats(source, Py_ssize_t count, Py_buffer *view, str what) except -1


@cython.final
cdef class Scorer:
    cdef WorkerTable table  # whose rows are scored; not owned
    cdef float *score_column  # J of the last pass, shape (row_capacity,), 64-byte aligned; ms
    cdef float *minima  # least J per block and lane, shape (row_capacity / NEXUS_BLOCK_ROWS, NEXUS_LANES); ms
    cdef float *load_minima  # least load of the near ties per block and lane, shape of minima; ratio
    cdef Py_ssize_t row_capacity  # rows that fit the arrays; count
    cdef float chosen_score_ms  # J of the row picked last, +inf before the first; ms
    cdef object asked_run_ms  # of the last choice, None if there was none since `scores`
    cdef object asked_extra_ms  # of the last choice
    cdef tuple asked_terms  # of the last choice
    cdef float asked_wait_weight  # of the last choice
    cdef float asked_balance_ms  # of the last choice
    cdef float asked_margin_ms  # of the last choice: near ties are so much above the least score; ms

    cdef Py_ssize_t blocks(self) noexcept
    cdef float run_of(self, run_ms, Py_ssize_t row) except? -1.0
    cdef int fit(self) except -1
    cdef float score(self, run_ms, double wait_weight, double balance_ms, extra_ms, tuple terms) except? -1.0
    cdef float score_with_terms(
        self, const float *class_ms, const float *extra_ms, float run_ms, float wait_weight, float balance_ms,
        tuple terms
    ) except? -1.0
