"""The memory and the records of a worker table, and the bounds of its values.

Laws: a record read back passes the same bounds as a setter, so a hostile snapshot cannot smuggle in a number that
a caller could not have set. Columns point into one slab that the table owns; nothing here allocates.

A record: generation u64 | booked_ms f64 | free_at_ms f64 | heard_at_ms f64 | factor f32 | bias_ms f32 | share f32 |
in_flight u32 | slots u32 | credit u32 | class_index u32 | flags u32 (1 live, 2 accepting) | bytes of the name u32;
little-endian.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from nexus_sched._kernel.layout cimport (
    nexus_get_f32, nexus_get_f64, nexus_get_u32, nexus_get_u64, nexus_put_f32, nexus_put_f64, nexus_put_u32,
    nexus_put_u64,
)

from nexus_sched.errors import KernelError


cdef Py_ssize_t ALIGNMENT = 64  # bytes: a cache line, and the widest vector
cdef uint32_t FLAG_LIVE = 1
cdef uint32_t FLAG_ACCEPTING = 2
cdef uint64_t GENERATION_MAX = <uint64_t>1 << 62


cdef tuple COLUMN_NAMES = (
    "wait_ms", "factor", "bias_ms", "closed", "load", "share", "booked_ms", "in_flight", "slots", "credit",
    "class_index",
)


cdef void *carve(size_t *cursor, Py_ssize_t bytes_per_row, Py_ssize_t capacity) noexcept:
    """Next column of a slab, one cache line behind the last so that columns do not share an offset in their page."""
    cdef size_t column = cursor[0]
    cursor[0] += bytes_per_row * capacity + ALIGNMENT
    return <void *>column


cdef Py_ssize_t carve_all(Columns *columns, void *slab, Py_ssize_t capacity) noexcept:
    """Point the columns into a slab; returns how many bytes they take, so a slab at NULL tells the size of one."""
    cdef size_t cursor = <size_t>slab
    columns.wait_ms = <float *>carve(&cursor, sizeof(float), capacity)
    columns.factor = <float *>carve(&cursor, sizeof(float), capacity)
    columns.bias_ms = <float *>carve(&cursor, sizeof(float), capacity)
    columns.closed_ms = <float *>carve(&cursor, sizeof(float), capacity)
    columns.load = <float *>carve(&cursor, sizeof(float), capacity)
    columns.share = <float *>carve(&cursor, sizeof(float), capacity)
    columns.booked_ms = <double *>carve(&cursor, sizeof(double), capacity)
    columns.free_at_ms = <double *>carve(&cursor, sizeof(double), capacity)
    columns.heard_at_ms = <double *>carve(&cursor, sizeof(double), capacity)
    columns.generation = <int64_t *>carve(&cursor, sizeof(int64_t), capacity)
    columns.in_flight = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.slots = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.credit = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.class_index = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.class_open = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.free_rows = <int32_t *>carve(&cursor, sizeof(int32_t), capacity)
    columns.live = <uint8_t *>carve(&cursor, sizeof(uint8_t), capacity)
    columns.accepting = <uint8_t *>carve(&cursor, sizeof(uint8_t), capacity)
    return <Py_ssize_t>(cursor - <size_t>slab)


cdef void copy_columns(Columns *target, Columns *source, Py_ssize_t rows, Py_ssize_t free_count) noexcept:
    memcpy(target.wait_ms, source.wait_ms, rows * sizeof(float))
    memcpy(target.factor, source.factor, rows * sizeof(float))
    memcpy(target.bias_ms, source.bias_ms, rows * sizeof(float))
    memcpy(target.closed_ms, source.closed_ms, rows * sizeof(float))
    memcpy(target.load, source.load, rows * sizeof(float))
    memcpy(target.share, source.share, rows * sizeof(float))
    memcpy(target.booked_ms, source.booked_ms, rows * sizeof(double))
    memcpy(target.free_at_ms, source.free_at_ms, rows * sizeof(double))
    memcpy(target.heard_at_ms, source.heard_at_ms, rows * sizeof(double))
    memcpy(target.generation, source.generation, rows * sizeof(int64_t))
    memcpy(target.in_flight, source.in_flight, rows * sizeof(int32_t))
    memcpy(target.slots, source.slots, rows * sizeof(int32_t))
    memcpy(target.credit, source.credit, rows * sizeof(int32_t))
    memcpy(target.class_index, source.class_index, rows * sizeof(int32_t))
    memcpy(target.class_open, source.class_open, rows * sizeof(int32_t))
    memcpy(target.live, source.live, rows * sizeof(uint8_t))
    memcpy(target.accepting, source.accepting, rows * sizeof(uint8_t))
    memcpy(target.free_rows, source.free_rows, free_count * sizeof(int32_t))


cdef void pass_time(Columns *columns, Py_ssize_t rows, double now_ms) noexcept:
    """Derive the waits of this instant."""
    cdef float *wait_ms = columns.wait_ms
    cdef const double *free_at_ms = columns.free_at_ms
    cdef Py_ssize_t row
    for row in range(rows):
        wait_ms[row] = waiting(free_at_ms[row], now_ms)


cdef float column_value(Columns *columns, Py_ssize_t index, Py_ssize_t row) noexcept:
    """Of the column of this index in `COLUMN_NAMES`."""
    cdef float[11] values
    values[0] = columns.wait_ms[row]
    values[1] = columns.factor[row]
    values[2] = columns.bias_ms[row]
    values[3] = columns.closed_ms[row]
    values[4] = columns.load[row]
    values[5] = columns.share[row]
    values[6] = <float>columns.booked_ms[row]
    values[7] = <float>columns.in_flight[row]
    values[8] = <float>columns.slots[row]
    values[9] = <float>columns.credit[row]
    values[10] = <float>columns.class_index[row]
    return values[index]


cdef double bounded(double value, double least, double most, str what) except? -1.0:
    """`value` if it lies in [least, most]; NaN lies nowhere. -0.0 becomes 0.0: equal state has equal bytes."""
    if not least <= value <= most:
        raise KernelError(f"{what} {value!r} is not within [{least!r}, {most!r}]")
    return value + 0.0


cdef int32_t bounded_count(Py_ssize_t value, Py_ssize_t least, str what) except -1:
    if not least <= value <= COUNT_MAX:
        raise KernelError(f"{what} {value} is not within [{least}, {COUNT_MAX}]")
    return <int32_t>value


cdef void write_record(Columns *columns, Py_ssize_t row, unsigned char *at, Py_ssize_t name_bytes) noexcept:
    cdef uint32_t flags = (FLAG_LIVE if columns.live[row] else 0) | (FLAG_ACCEPTING if columns.accepting[row] else 0)
    nexus_put_u64(at, <uint64_t>columns.generation[row])
    nexus_put_f64(at + 8, columns.booked_ms[row])
    nexus_put_f64(at + 16, columns.free_at_ms[row])
    nexus_put_f64(at + 24, columns.heard_at_ms[row])
    nexus_put_f32(at + 32, columns.factor[row])
    nexus_put_f32(at + 36, columns.bias_ms[row])
    nexus_put_f32(at + 40, columns.share[row])
    nexus_put_u32(at + 44, <uint32_t>columns.in_flight[row])
    nexus_put_u32(at + 48, <uint32_t>columns.slots[row])
    nexus_put_u32(at + 52, <uint32_t>columns.credit[row])
    nexus_put_u32(at + 56, <uint32_t>columns.class_index[row])
    nexus_put_u32(at + 60, flags)
    nexus_put_u32(at + 64, <uint32_t>name_bytes)


cdef Py_ssize_t recorded_name_bytes(const unsigned char *at) noexcept:
    return <Py_ssize_t>nexus_get_u32(at + 64)


cdef int read_record(Columns *columns, Py_ssize_t row, const unsigned char *at) except -1:
    """Set the row to the record, else `KernelError`; what is derived is left to the caller."""
    cdef uint32_t flags = nexus_get_u32(at + 60)
    cdef uint64_t generation = nexus_get_u64(at)
    if flags & ~(FLAG_LIVE | FLAG_ACCEPTING) or not 0 < generation <= GENERATION_MAX:
        raise KernelError(f"flags {flags} with generation {generation} cannot be")
    columns.generation[row] = <int64_t>generation
    columns.booked_ms[row] = bounded(nexus_get_f64(at + 8), 0.0, MS_MAX, "booked_ms")
    columns.free_at_ms[row] = bounded(nexus_get_f64(at + 16), -MS_MAX, MS_MAX, "free_at_ms")
    columns.heard_at_ms[row] = bounded(nexus_get_f64(at + 24), -MS_MAX, MS_MAX, "heard_at_ms")
    columns.factor[row] = <float>bounded(nexus_get_f32(at + 32), 0.0, FACTOR_MAX, "factor")
    columns.bias_ms[row] = <float>bounded(nexus_get_f32(at + 36), -MS_MAX, MS_MAX, "bias_ms") + <float>0.0
    columns.share[row] = <float>bounded(nexus_get_f32(at + 40), SHARE_MIN, 1.0, "share")
    columns.in_flight[row] = bounded_count(nexus_get_u32(at + 44), 0, "in_flight")
    columns.slots[row] = bounded_count(nexus_get_u32(at + 48), 1, "slots")
    columns.credit[row] = bounded_count(nexus_get_u32(at + 52), 0, "credit")
    columns.class_index[row] = bounded_count(nexus_get_u32(at + 56), 0, "class_index")
    columns.live[row] = (flags & FLAG_LIVE) != 0
    columns.accepting[row] = (flags & FLAG_ACCEPTING) != 0
    if columns.in_flight[row] == 0 and columns.booked_ms[row] != 0.0:
        raise KernelError("work is booked and nothing is in flight")
    return 0
