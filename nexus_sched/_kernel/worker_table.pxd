"""Contract of the worker table between compiled modules."""

cimport cython
from nexus_sched._kernel.columns cimport Columns


@cython.final
cdef class WorkerTable:
    cdef Columns columns  # the arrays, carved from one slab
    cdef void *slab  # owns the memory of all columns; bytes
    cdef Py_ssize_t row_capacity  # rows allocated, a multiple of NEXUS_BLOCK_ROWS; count
    cdef double now_ms  # instant of the waits; ms since the epoch
    cdef Py_ssize_t row_count  # high-water mark: rows ever used; count
    cdef Py_ssize_t free_count  # entries of free_rows; count
    cdef Py_ssize_t open_rows  # rows with closed_ms == 0; count
    cdef Py_ssize_t idle_rows  # of these the ones with a free slot; count
    cdef Py_ssize_t class_bound  # greatest class index that was ever set, plus 1; count
    cdef Py_ssize_t open_class_count  # classes with an open row; count
    cdef Py_ssize_t open_class_sum  # sum of their indexes: with one of them, its index
    cdef dict row_by_name  # str -> int, live workers only
    cdef list names  # str or None by row, length row_count

    cdef int allocate(self, Py_ssize_t capacity) except -1
    cdef int require_live(self, Py_ssize_t row) except -1
    cdef void refresh(self, Py_ssize_t row, bint booked) noexcept
    cdef void count_open(self, Py_ssize_t row, int change) noexcept
    cdef void clear_row(self, Py_ssize_t row) noexcept
    cdef Py_ssize_t take_row(self) except -1
    cdef int read_rows(
        self, const unsigned char *body, Py_ssize_t rows, Py_ssize_t names_at, Py_ssize_t body_bytes
    ) except -1
    cdef int read_free_rows(self, const unsigned char *at, Py_ssize_t free_count) except -1
    cdef int swap(self, WorkerTable other) except -1
