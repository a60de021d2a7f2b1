"""Contract of the columns of a worker table: their memory, bounds and records."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from *:
    """
    #define NEXUS_ROWS_MAX ((Py_ssize_t)1 << 20)
    #define NEXUS_COUNT_MAX ((int32_t)1 << 24)
    #define NEXUS_FACTOR_MAX 1e6
    #define NEXUS_MS_MAX 1e15
    #define NEXUS_SHARE_MIN 0.0625
    #define NEXUS_RECORD_BYTES ((Py_ssize_t)68)
    """
    const Py_ssize_t ROWS_MAX "NEXUS_ROWS_MAX"  # rows; keeps a hostile snapshot from claiming all memory
    const int32_t COUNT_MAX "NEXUS_COUNT_MAX"  # slots, credit, in flight: the integers float32 holds exactly
    const double FACTOR_MAX "NEXUS_FACTOR_MAX"  # factors and weights
    const double MS_MAX "NEXUS_MS_MAX"  # any span, milliseconds (31,000 years): no score can overflow below it
    const double SHARE_MIN "NEXUS_SHARE_MIN"  # of a worker's slots: keeps a wait finite; exact in float32
    const Py_ssize_t RECORD_BYTES "NEXUS_RECORD_BYTES"  # size of a row in a snapshot; bytes


cdef struct Columns:  # every column: shape (capacity,), 64-byte aligned, row = worker
    float *wait_ms  # from `now_ms` of the table to free_at_ms, never below 0; ms
    float *factor  # learned slowness, 1 = average; ratio
    float *bias_ms  # sum of the per-worker terms of the score; ms
    float *closed_ms  # 0 if open, +inf if not (free, not accepting, or no credit left); ms
    float *load  # in_flight / slots; ratio
    float *share  # of its slots that others leave to it, (0, 1]; ratio
    double *booked_ms  # predicted work in flight; float64: a worker that is never idle must not drift; ms
    double *free_at_ms  # when a slot is expected to be free for one more task, -MS_MAX if one is; ms since the epoch
    double *heard_at_ms  # last sign of life; ms since the epoch
    int64_t *generation  # joins seen by this row; survives `leave`; count
    int32_t *in_flight  # tasks booked and not settled; count
    int32_t *slots  # tasks the worker runs at once, >= 1; count
    int32_t *credit  # tasks it may hold; count
    int32_t *class_index  # its worker class, dense from 0, < rows; index
    int32_t *class_open  # open rows of the class with this index; count
    uint8_t *live  # 1 if a worker owns the row; flag
    uint8_t *accepting  # 1 if it takes new tasks; flag
    int32_t *free_rows  # stack of rows given back, [0, free_count); row


cdef tuple COLUMN_NAMES  # of those that `column_value` knows, in its order

cdef inline float waiting(double free_at_ms, double now_ms) noexcept nogil:
    cdef double left_ms = free_at_ms - now_ms
    return <float>(left_ms if left_ms > 0.0 else 0.0)


cdef void pass_time(Columns *columns, Py_ssize_t rows, double now_ms) noexcept
cdef float column_value(Columns *columns, Py_ssize_t index, Py_ssize_t row) noexcept
cdef Py_ssize_t carve_all(Columns *columns, void *slab, Py_ssize_t capacity) noexcept
cdef void copy_columns(Columns *target, Columns *source, Py_ssize_t rows, Py_ssize_t free_count) noexcept
cdef double bounded(double value, double least, double most, str what) except? -1.0
cdef int32_t bounded_count(Py_ssize_t value, Py_ssize_t least, str what) except -1
cdef void write_record(Columns *columns, Py_ssize_t row, unsigned char *at, Py_ssize_t name_bytes) noexcept
cdef Py_ssize_t recorded_name_bytes(const unsigned char *at) noexcept
cdef int read_record(Columns *columns, Py_ssize_t row, const unsigned char *at) except -1
