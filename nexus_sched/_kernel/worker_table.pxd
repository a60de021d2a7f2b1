"""Contract of the worker table between compiled modules."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from *:
    """
    #define NEXUS_ROWS_MAX ((Py_ssize_t)1 << 20)
    #define NEXUS_COUNT_MAX ((int32_t)1 << 24)
    #define NEXUS_FACTOR_MAX 1e6
    #define NEXUS_MS_MAX 1e15
    """
    const Py_ssize_t ROWS_MAX "NEXUS_ROWS_MAX"  # rows; keeps a hostile snapshot from claiming all memory
    const int32_t COUNT_MAX "NEXUS_COUNT_MAX"  # slots, credit, in flight: the integers float32 holds exactly
    const double FACTOR_MAX "NEXUS_FACTOR_MAX"  # factors and weights
    const double MS_MAX "NEXUS_MS_MAX"  # any span, milliseconds (31,000 years): no score can overflow below it


cdef struct Columns:  # every column: shape (capacity,), 64-byte aligned, row = worker
    float *wait_ms  # 0 with a free slot, else booked_ms / slots; ms
    float *factor  # learned slowness, 1 = average; ratio
    float *bias_ms  # sum of the per-worker terms of the score; ms
    float *closed_ms  # 0 if open, +inf if not (free, not accepting, or no credit left); ms
    float *load  # in_flight / slots; ratio
    double *booked_ms  # predicted work in flight; float64: a worker that is never idle must not drift; ms
    double *heard_at_ms  # last sign of life; ms since the epoch
    int64_t *generation  # joins seen by this row; survives `leave`; count
    int32_t *in_flight  # tasks booked and not settled; count
    int32_t *slots  # tasks the worker runs at once, >= 1; count
    int32_t *credit  # tasks it may hold; count
    uint8_t *live  # 1 if a worker owns the row; flag
    uint8_t *accepting  # 1 if it takes new tasks; flag
    int32_t *free_rows  # stack of rows given back, [0, free_count); row


cdef class WorkerTable:
    cdef Columns columns  # the arrays, carved from one slab
    cdef void *slab  # owns the memory of all columns; bytes
    cdef Py_ssize_t row_capacity  # rows allocated, a multiple of NEXUS_BLOCK_ROWS; count
    cdef Py_ssize_t row_count  # high-water mark: rows ever used; count
    cdef Py_ssize_t free_count  # entries of free_rows; count
    cdef Py_ssize_t open_rows  # rows with closed_ms == 0; count
    cdef dict row_by_name  # str -> int, live workers only
    cdef list names  # str or None by row, length row_count

    cdef int allocate(self, Py_ssize_t capacity) except -1
    cdef int require_live(self, Py_ssize_t row) except -1
    cdef void refresh(self, Py_ssize_t row) noexcept
    cdef void clear_row(self, Py_ssize_t row) noexcept
    cdef Py_ssize_t take_row(self) except -1
    cdef void write_record(self, Py_ssize_t row, unsigned char *at, Py_ssize_t name_bytes) noexcept
    cdef int read_rows(
        self, const unsigned char *body, Py_ssize_t rows, Py_ssize_t names_at, Py_ssize_t body_bytes
    ) except -1
    cdef int read_record(self, Py_ssize_t row, const unsigned char *at) except -1
    cdef int read_free_rows(self, const unsigned char *at, Py_ssize_t free_count) except -1
    cdef int swap(self, WorkerTable other) except -1
