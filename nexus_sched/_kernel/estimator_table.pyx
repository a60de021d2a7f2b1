"""Per-type moving averages of service times, in contiguous columns. The arithmetic is csrc/nexus_average.c.

Laws: a row lives as long as the table; float64 and a fixed order of operations, so equal samples in equal order
give equal bytes on every machine.
"""

from collections import namedtuple

cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from nexus_sched._kernel.layout cimport (
    body_of, checked_body, name_at, new_frame, nexus_digest, nexus_get_f64, nexus_get_u32, nexus_get_u64,
    nexus_put_f64, nexus_put_u32, nexus_put_u64, seal,
)

from nexus_sched.errors import KernelError, SnapshotUnreadable


cdef extern from "nexus_average.h" nogil:
    void nexus_average_learn(
        double *mean, double *variance, int64_t *samples, Py_ssize_t row, double alpha, double value
    ) noexcept


cdef bytes MAGIC = b"NXET"
cdef uint32_t VERSION = 1
cdef Py_ssize_t BODY_HEADER_BYTES = 40
cdef Py_ssize_t RECORD_BYTES = 28
cdef Py_ssize_t TYPES_MAX = 1 << 24
cdef double MS_MAX = 1e15  # 31,000 years: no variance can overflow below it
cdef double VARIANCE_MAX = 1e30  # the square of it
cdef uint64_t SAMPLES_MAX = <uint64_t>1 << 53  # the integers float64 holds exactly


Estimate = namedtuple("Estimate", ("mean_ms", "deviation_ms", "samples"), module=__name__)
cdef object new_tuple = tuple.__new__  # three times faster than the constructor that namedtuple writes
Estimate.__doc__ = "What is known of a type. Milliseconds, except `samples`."


@cython.final
cdef class EstimatorTable:
    """Warm-started exponential moving average and decayed variance per task type. The `.pyi` tells the formula."""

    def __cinit__(self, double alpha=0.1, Py_ssize_t capacity=256):
        if not 0.0 < alpha <= 1.0:
            raise KernelError(f"alpha {alpha!r} is not within (0, 1]")
        if not 1 <= capacity <= TYPES_MAX:
            raise KernelError(f"capacity {capacity} is not within [1, {TYPES_MAX}]")
        self.alpha = alpha
        self.row_by_type = {}
        self.types = []
        self.allocate(capacity)

    def __dealloc__(self):
        free(self.mean)
        free(self.variance)
        free(self.samples)

    def __len__(self):
        return self.row_count

    def learn(self, str task_type not None, double run_ms):
        """Take in one service time. Raises `KernelError` if it is negative, NaN or above 31,000 years."""
        if not 0.0 <= run_ms <= MS_MAX:
            raise KernelError(f"run_ms {run_ms!r} is not within [0, {MS_MAX!r}]")
        found = self.row_by_type.get(task_type)
        cdef Py_ssize_t row = self.new_row(task_type) if found is None else found
        nexus_average_learn(self.mean, self.variance, self.samples, row, self.alpha, run_ms)
        nexus_average_learn(
            &self.overall_mean, &self.overall_variance, &self.overall_samples, 0, self.alpha, run_ms
        )

    def estimate(self, str task_type not None):
        """`None` if the type was never seen."""
        found = self.row_by_type.get(task_type)
        if found is None:
            return None
        cdef Py_ssize_t row = found
        return new_tuple(Estimate, (self.mean[row], sqrt(self.variance[row]), self.samples[row]))

    def mean_ms(self, str task_type not None):
        """The bare average, -1.0 if the type was never seen; the cheapest read."""
        found = self.row_by_type.get(task_type)
        if found is None:
            return -1.0
        return self.mean[<Py_ssize_t>found]

    def overall_ms(self):
        """The same average over all types together, -1.0 before the first sample."""
        return self.overall_mean if self.overall_samples else -1.0

    def snapshot(self):
        """Everything but the capacity, in a versioned little-endian layout that does not depend on the machine."""
        cdef list encoded = [(<str>task_type).encode("utf-8") for task_type in self.types]
        cdef bytes names = b"".join(encoded)
        cdef Py_ssize_t names_at = BODY_HEADER_BYTES + RECORD_BYTES * self.row_count
        cdef bytes frame = new_frame(MAGIC, VERSION, names_at + len(names))
        cdef unsigned char *body = body_of(frame)
        cdef unsigned char *at
        cdef Py_ssize_t row
        nexus_put_f64(body, self.alpha)
        nexus_put_f64(body + 8, self.overall_mean)
        nexus_put_f64(body + 16, self.overall_variance)
        nexus_put_u64(body + 24, <uint64_t>self.overall_samples)
        nexus_put_u64(body + 32, <uint64_t>self.row_count)
        for row in range(self.row_count):
            at = body + BODY_HEADER_BYTES + RECORD_BYTES * row
            nexus_put_f64(at, self.mean[row])
            nexus_put_f64(at + 8, self.variance[row])
            nexus_put_u64(at + 16, <uint64_t>self.samples[row])
            nexus_put_u32(at + 24, <uint32_t>len(<bytes>encoded[row]))
        memcpy(body + names_at, <const char *>names, len(names))
        seal(frame)
        return frame

    def restore(self, bytes blob not None):
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`, and then nothing has changed."""
        cdef Py_ssize_t body_bytes = 0
        cdef const unsigned char *body = checked_body(blob, MAGIC, VERSION, &body_bytes)
        if body_bytes < BODY_HEADER_BYTES:
            raise SnapshotUnreadable(f"a body of {body_bytes} bytes has no header")
        cdef double alpha = nexus_get_f64(body)
        cdef uint64_t rows = nexus_get_u64(body + 32)
        if not 0.0 < alpha <= 1.0 or rows > <uint64_t>TYPES_MAX:
            raise SnapshotUnreadable(f"alpha {alpha!r} with {rows} types cannot be")
        if BODY_HEADER_BYTES + RECORD_BYTES * <Py_ssize_t>rows > body_bytes:
            raise SnapshotUnreadable(f"{rows} types do not fit into {body_bytes} bytes")
        cdef EstimatorTable fresh = EstimatorTable(alpha, max(self.row_capacity, <Py_ssize_t>rows))
        read_average(body + 8, &fresh.overall_mean, &fresh.overall_variance, &fresh.overall_samples)
        fresh.read_rows(body, <Py_ssize_t>rows, body_bytes)
        self.mean, fresh.mean = fresh.mean, self.mean
        self.variance, fresh.variance = fresh.variance, self.variance
        self.samples, fresh.samples = fresh.samples, self.samples
        self.overall_mean = fresh.overall_mean
        self.overall_variance = fresh.overall_variance
        self.overall_samples = fresh.overall_samples
        self.alpha = alpha
        self.row_capacity = fresh.row_capacity
        self.row_count = fresh.row_count
        self.row_by_type = fresh.row_by_type
        self.types = fresh.types

    def digest(self, uint64_t seed=0):
        """64-bit digest of all state; equal state, equal digest, whatever the capacity. Costs a snapshot."""
        cdef bytes frame = self.snapshot()
        return nexus_digest(<const unsigned char *><char *>frame, len(frame), seed)

    cdef int allocate(self, Py_ssize_t capacity) except -1:
        """Move to columns of `capacity` rows; on failure nothing has changed."""
        cdef double *mean = <double *>calloc(capacity, sizeof(double))
        cdef double *variance = <double *>calloc(capacity, sizeof(double))
        cdef int64_t *samples = <int64_t *>calloc(capacity, sizeof(int64_t))
        if mean == NULL or variance == NULL or samples == NULL:
            free(mean)
            free(variance)
            free(samples)
            raise MemoryError(f"averages of {capacity} types")
        if self.row_count:
            memcpy(mean, self.mean, self.row_count * sizeof(double))
            memcpy(variance, self.variance, self.row_count * sizeof(double))
            memcpy(samples, self.samples, self.row_count * sizeof(int64_t))
        free(self.mean)
        free(self.variance)
        free(self.samples)
        self.mean = mean
        self.variance = variance
        self.samples = samples
        self.row_capacity = capacity
        return 0

    cdef Py_ssize_t new_row(self, str task_type) except -1:
        """Row for a type not seen before; its columns are zero."""
        try:
            task_type.encode("utf-8")
        except UnicodeEncodeError as error:
            raise KernelError(f"task type {task_type!r} is not a name in UTF-8") from error
        if self.row_count == TYPES_MAX:
            raise KernelError(f"{TYPES_MAX} types are as many as a table holds")
        if self.row_count == self.row_capacity:
            self.allocate(min(2 * self.row_capacity, TYPES_MAX))
        self.types.append(task_type)
        self.row_by_type[task_type] = self.row_count
        self.row_count += 1
        return self.row_count - 1

    cdef int read_rows(self, const unsigned char *body, Py_ssize_t rows, Py_ssize_t body_bytes) except -1:
        """Fill this empty table with the records and names of a snapshot."""
        cdef Py_ssize_t names_at = BODY_HEADER_BYTES + RECORD_BYTES * rows
        cdef Py_ssize_t row, name_bytes
        cdef const unsigned char *at
        cdef str task_type
        for row in range(rows):
            at = body + BODY_HEADER_BYTES + RECORD_BYTES * row
            name_bytes = nexus_get_u32(at + 24)
            if name_bytes > body_bytes - names_at:
                raise SnapshotUnreadable(f"the name of type {row} ends behind the snapshot")
            task_type = name_at(body + names_at, name_bytes)
            if task_type in self.row_by_type:
                raise SnapshotUnreadable(f"type {task_type!r} has two rows")
            self.new_row(task_type)
            read_average(at, &self.mean[row], &self.variance[row], &self.samples[row])
            if self.samples[row] == 0:
                raise SnapshotUnreadable(f"type {task_type!r} was never seen")
            names_at += name_bytes
        if names_at != body_bytes:
            raise SnapshotUnreadable(f"{body_bytes - names_at} bytes behind the last name")
        return 0


cdef int read_average(const unsigned char *at, double *mean, double *variance, int64_t *samples) except -1:
    """One average from a snapshot, checked."""
    cdef double read_mean = nexus_get_f64(at)
    cdef double read_variance = nexus_get_f64(at + 8)
    cdef uint64_t read_samples = nexus_get_u64(at + 16)
    if not (0.0 <= read_mean <= MS_MAX and 0.0 <= read_variance <= VARIANCE_MAX and read_samples <= SAMPLES_MAX):
        raise SnapshotUnreadable(f"mean {read_mean!r}, variance {read_variance!r}, samples {read_samples} cannot be")
    mean[0] = read_mean
    variance[0] = read_variance
    samples[0] = <int64_t>read_samples
    return 0
