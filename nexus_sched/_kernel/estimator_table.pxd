"""Contract of the estimator table between compiled modules."""

cimport cython
from libc.stdint cimport int64_t


@cython.final
cdef class EstimatorTable:
    cdef double *mean  # moving average of service times, shape (row_capacity,), row = task type; ms
    cdef double *variance  # decayed variance, shape (row_capacity,); ms squared
    cdef int64_t *samples  # service times taken in, shape (row_capacity,); count
    cdef double overall_mean  # the same average over all types; ms
    cdef double overall_variance  # the same variance over all types; ms squared
    cdef int64_t overall_samples  # service times of all types; count
    cdef double alpha  # least weight of a new service time, (0, 1]; ratio
    cdef Py_ssize_t row_capacity  # rows allocated; count
    cdef Py_ssize_t row_count  # types seen; count
    cdef dict row_by_type  # str -> int
    cdef list types  # str by row, length row_count

    cdef int allocate(self, Py_ssize_t capacity) except -1
    cdef Py_ssize_t new_row(self, str task_type) except -1
    cdef int read_rows(self, const unsigned char *body, Py_ssize_t rows, Py_ssize_t body_bytes) except -1
