"""Contract of the scorer between compiled modules."""

from nexus_sched._kernel.worker_table cimport WorkerTable


cdef class Scorer:
    cdef WorkerTable table  # whose rows are scored; not owned
    cdef float *score_column  # J of the last pass, shape (row_capacity,), 64-byte aligned; ms
    cdef float *minima  # least J per block of NEXUS_BLOCK_ROWS rows, shape (row_capacity / NEXUS_BLOCK_ROWS,); ms
    cdef Py_ssize_t row_capacity  # rows that fit the two arrays; count
    cdef float chosen_score_ms  # J of the row picked last, +inf before the first; ms

    cdef int fit(self) except -1
    cdef float score(self, double run_ms, double wait_weight) except? -1.0
