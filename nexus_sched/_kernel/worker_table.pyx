"""Workers as contiguous columns; the arrays that every decision reads.

Laws: what the scorer reads is derived (`refresh`) in O(1) whenever its row changes, so that a decision is one pass.
A row that is not open has closed_ms = +inf; all else stays finite and within the bounds of the `.pxd`, so an open
row scores a finite number and a closed one +inf. Rows up to the capacity that nobody used look like freed rows.
A wait passes with time: what is kept is the instant at which it ends, and `set_now` derives the waits of all rows from
it, once a turn. A booking expects that instant to be `now + booked / (slots * share)`, until somebody who knows
the runs tells it better.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from nexus_sched._kernel.columns cimport (
    COLUMN_NAMES, FACTOR_MAX, MS_MAX, RECORD_BYTES, ROWS_MAX, SHARE_MIN, Columns, bounded, bounded_count, carve_all,
    column_value, copy_columns, pass_time, read_record, recorded_name_bytes, waiting, write_record,
)
from nexus_sched._kernel.layout cimport (
    body_of, checked_body, name_at, new_frame, nexus_digest, nexus_get_u32, nexus_get_u64, nexus_put_u32,
    nexus_put_u64, seal,
)

from nexus_sched.errors import KernelError, SnapshotUnreadable


cdef extern from "nexus_score.h" nogil:
    const Py_ssize_t NEXUS_BLOCK_ROWS

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size) noexcept


cdef Py_ssize_t ALIGNMENT = 64  # bytes: a cache line, and the widest vector
cdef bytes MAGIC = b"NXWT"
cdef uint32_t VERSION = 2
cdef Py_ssize_t BODY_HEADER_BYTES = 16


@cython.final
cdef class WorkerTable:
    """Name -> row in O(1), and one contiguous column per property. The `.pyi` tells people, the `.pxd` tells code."""

    def __cinit__(self, Py_ssize_t capacity=1024):
        self.row_by_name = {}
        self.names = []
        if not 1 <= capacity <= ROWS_MAX:
            raise KernelError(f"capacity {capacity} is not within [1, {ROWS_MAX}]")
        self.allocate(capacity)

    def __dealloc__(self):
        free(self.slab)

    def __len__(self):
        return len(self.row_by_name)

    @property
    def rows(self):
        """High-water mark of rows, live or free."""
        return self.row_count

    @property
    def capacity(self):
        """Rows that fit before the next allocation."""
        return self.row_capacity

    @property
    def open_count(self):
        """Rows that accept and hold fewer tasks than their credit."""
        return self.open_rows

    @property
    def open_classes(self):
        """Worker classes with an open row."""
        return self.open_class_count

    @property
    def open_class(self):
        """Index of the only class with an open row, -1 if there are several or none."""
        return self.open_class_sum if self.open_class_count == 1 else -1

    def open_class_indexes(self):
        """Indexes of the classes with an open row, ascending. Costs a pass over the classes."""
        return [index for index in range(self.class_bound) if self.columns.class_open[index]]

    def join(self, str worker not None, Py_ssize_t slots, Py_ssize_t credit, double at_ms):
        """Row of the worker, accepting. A name that is already live keeps its row, bookings, factor and bias."""
        cdef int32_t slot_count = bounded_count(slots, 1, "slots")
        cdef int32_t credit_count = bounded_count(credit, 0, "credit")
        cdef double heard_at_ms = bounded(at_ms, -MS_MAX, MS_MAX, "at_ms")
        cdef Py_ssize_t row = self.row_by_name.get(worker, -1)
        if row < 0:
            try:
                worker.encode("utf-8")
            except UnicodeEncodeError as error:
                raise KernelError(f"worker {worker!r} is not a name in UTF-8") from error
            row = self.take_row()
            self.names[row] = worker
            self.row_by_name[worker] = row
            self.columns.live[row] = 1
            self.class_bound = max(self.class_bound, 1)
        self.columns.generation[row] += 1
        self.columns.slots[row] = slot_count
        self.columns.credit[row] = credit_count
        self.columns.accepting[row] = 1
        self.columns.heard_at_ms[row] = heard_at_ms
        self.refresh(row, False)
        return row

    def leave(self, Py_ssize_t row):
        """Give the row back. Its bookings are forgotten, its generation is not."""
        self.require_live(row)
        del self.row_by_name[self.names[row]]
        self.names[row] = None
        self.clear_row(row)
        self.columns.free_rows[self.free_count] = <int32_t>row
        self.free_count += 1

    def find(self, str worker not None):
        """Row of the worker, -1 if it is not live."""
        return self.row_by_name.get(worker, -1)

    def name(self, Py_ssize_t row):
        """Name of the worker in this row."""
        self.require_live(row)
        return self.names[row]

    def generation(self, Py_ssize_t row):
        """How many joins this row has seen; a (row, generation) kept elsewhere is stale if it differs."""
        self.require_live(row)
        return self.columns.generation[row]

    def set_credit(self, Py_ssize_t row, Py_ssize_t credit):
        """How many tasks the worker may hold."""
        self.require_live(row)
        self.columns.credit[row] = bounded_count(credit, 0, "credit")
        self.refresh(row, False)

    def set_accepting(self, Py_ssize_t row, bint accepting):
        """Whether the worker takes new tasks."""
        self.require_live(row)
        self.columns.accepting[row] = accepting
        self.refresh(row, False)

    def set_factor(self, Py_ssize_t row, double factor):
        """Learned slowness, 0 to `FACTOR_MAX`."""
        self.require_live(row)
        self.columns.factor[row] = <float>bounded(factor, 0.0, FACTOR_MAX, "factor")

    def set_class(self, Py_ssize_t row, Py_ssize_t index):
        """The worker's class, as a dense index below `rows`."""
        self.require_live(row)
        if not 0 <= index < self.row_count:
            raise KernelError(f"class index {index} is not within [0, {self.row_count})")
        cdef bint is_open = self.columns.closed_ms[row] == 0
        if is_open:
            self.count_open(row, -1)
        self.columns.class_index[row] = <int32_t>index
        self.class_bound = max(self.class_bound, index + 1)
        if is_open:
            self.count_open(row, 1)

    def class_index(self, Py_ssize_t row):
        """Index of the worker's class, 0 until it is set."""
        self.require_live(row)
        return self.columns.class_index[row]

    def set_share(self, Py_ssize_t row, double share):
        """Part of its slots that others leave to the worker, `SHARE_MIN` to 1."""
        self.require_live(row)
        self.columns.share[row] = <float>bounded(share, SHARE_MIN, 1.0, "share")
        self.refresh(row, True)

    def share(self, Py_ssize_t row):
        """Part of its slots that others leave to the worker."""
        self.require_live(row)
        return self.columns.share[row]

    def set_now(self, double at_ms):
        """Let the waits be those of this instant. Costs a pass over the rows if it has changed."""
        cdef double now_ms = bounded(at_ms, -MS_MAX, MS_MAX, "at_ms")
        if now_ms == self.now_ms:
            return
        self.now_ms = now_ms
        pass_time(&self.columns, self.row_count, now_ms)

    def set_free_at(self, Py_ssize_t row, double at_ms):
        """When a slot of a worker without a free one is expected to be free for one more task."""
        self.require_live(row)
        cdef double free_at_ms = bounded(at_ms, -MS_MAX, MS_MAX, "at_ms")
        if self.columns.in_flight[row] >= self.columns.slots[row]:
            self.columns.free_at_ms[row] = free_at_ms
            self.refresh(row, False)

    def next_within_ms(self, double wait_max_ms):
        """Milliseconds until the wait of another open row is at most this, -1 if all are within or closed."""
        cdef Py_ssize_t row
        cdef float most = <float>bounded(wait_max_ms, 0.0, MS_MAX, "wait_max_ms"), least = INFINITY, wait
        for row in range(self.row_count):
            wait = self.columns.wait_ms[row] + self.columns.closed_ms[row]
            if most < wait < least:
                least = wait
        return least - most if least < INFINITY else -1.0

    def wait_ms(self, Py_ssize_t row):
        """From now until a slot is expected to be free for one more task."""
        self.require_live(row)
        return self.columns.wait_ms[row]

    def factor(self, Py_ssize_t row):
        """Learned slowness."""
        self.require_live(row)
        return self.columns.factor[row]

    def bias_ms(self, Py_ssize_t row):
        """Sum of all per-worker terms of the score."""
        self.require_live(row)
        return self.columns.bias_ms[row]

    def set_bias(self, Py_ssize_t row, double bias_ms):
        """Sum of all per-worker terms of the score, either sign."""
        self.require_live(row)
        self.columns.bias_ms[row] = <float>bounded(bias_ms, -MS_MAX, MS_MAX, "bias_ms") + <float>0.0

    def book(self, Py_ssize_t row, double work_ms):
        """One more task in flight, `work_ms` of predicted work more."""
        self.require_live(row)
        cdef double work = bounded(work_ms, 0.0, MS_MAX, "work_ms")
        cdef double booked_ms = bounded(self.columns.booked_ms[row] + work, 0.0, MS_MAX, "booked_ms")
        self.columns.in_flight[row] = bounded_count(self.columns.in_flight[row] + 1, 0, "in_flight")
        self.columns.booked_ms[row] = booked_ms
        self.refresh(row, True)

    def settle(self, Py_ssize_t row, double work_ms):
        """One task less; booked work never falls below 0 and is exactly 0 when nothing is in flight."""
        self.require_live(row)
        cdef double work = bounded(work_ms, 0.0, MS_MAX, "work_ms")
        if self.columns.in_flight[row] == 0:
            raise KernelError(f"row {row} has nothing in flight to settle")
        self.columns.in_flight[row] -= 1
        cdef double rest_ms = self.columns.booked_ms[row] - work
        self.columns.booked_ms[row] = rest_ms if rest_ms > 0.0 and self.columns.in_flight[row] > 0 else 0.0
        self.refresh(row, True)

    def heard(self, Py_ssize_t row, double at_ms):
        """A sign of life at this instant."""
        self.require_live(row)
        self.columns.heard_at_ms[row] = bounded(at_ms, -MS_MAX, MS_MAX, "at_ms")

    def heard_at_ms(self, Py_ssize_t row):
        """Instant of the last sign of life, milliseconds since the epoch."""
        self.require_live(row)
        return self.columns.heard_at_ms[row]

    def in_flight(self, Py_ssize_t row):
        """Tasks booked and not settled."""
        self.require_live(row)
        return self.columns.in_flight[row]

    def slots(self, Py_ssize_t row):
        """Tasks the worker runs at once."""
        self.require_live(row)
        return self.columns.slots[row]

    def credit(self, Py_ssize_t row):
        """Tasks the worker may hold."""
        self.require_live(row)
        return self.columns.credit[row]

    def booked_ms(self, Py_ssize_t row):
        """Predicted work in flight."""
        self.require_live(row)
        return self.columns.booked_ms[row]

    def column(self, str name not None):
        """A copy of a column over all rows, float32. Free rows read 0, factor and slots 1, closed +inf."""
        import numpy  # here, not above: a scheduler that never asks for columns does not pay for numpy

        if name not in COLUMN_NAMES:
            raise KernelError(f"no column {name!r}, only {', '.join(COLUMN_NAMES)}")
        values = numpy.empty(self.row_count, numpy.float32)
        cdef float[::1] target = values
        cdef Py_ssize_t row, index = COLUMN_NAMES.index(name)
        for row in range(self.row_count):
            target[row] = column_value(&self.columns, index, row)
        return values

    def snapshot(self):
        """Everything but the capacity, in a versioned little-endian layout that does not depend on the machine."""
        cdef list encoded = [b"" if name is None else (<str>name).encode("utf-8") for name in self.names]
        cdef bytes name_bytes = b"".join(encoded)
        cdef Py_ssize_t records_end = BODY_HEADER_BYTES + RECORD_BYTES * self.row_count
        cdef Py_ssize_t free_end = records_end + 4 * self.free_count
        cdef bytes frame = new_frame(MAGIC, VERSION, free_end + len(name_bytes))
        cdef unsigned char *body = body_of(frame)
        cdef Py_ssize_t row, index
        nexus_put_u64(body, <uint64_t>self.row_count)
        nexus_put_u64(body + 8, <uint64_t>self.free_count)
        for row in range(self.row_count):
            write_record(
                &self.columns, row, body + BODY_HEADER_BYTES + RECORD_BYTES * row, len(<bytes>encoded[row])
            )
        for index in range(self.free_count):
            nexus_put_u32(body + records_end + 4 * index, <uint32_t>self.columns.free_rows[index])
        memcpy(body + free_end, <const char *>name_bytes, len(name_bytes))
        seal(frame)
        return frame

    def restore(self, bytes blob not None):
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`, and then nothing has changed."""
        cdef Py_ssize_t body_bytes = 0
        cdef const unsigned char *body = checked_body(blob, MAGIC, VERSION, &body_bytes)
        if body_bytes < BODY_HEADER_BYTES:
            raise SnapshotUnreadable(f"a body of {body_bytes} bytes has no counts")
        cdef uint64_t rows = nexus_get_u64(body)
        cdef uint64_t free_count = nexus_get_u64(body + 8)
        if rows > <uint64_t>ROWS_MAX or free_count > rows:
            raise SnapshotUnreadable(f"{rows} rows, {free_count} of them free, cannot be")
        cdef Py_ssize_t names_at = BODY_HEADER_BYTES + RECORD_BYTES * <Py_ssize_t>rows + 4 * <Py_ssize_t>free_count
        if names_at > body_bytes:
            raise SnapshotUnreadable(f"{rows} rows do not fit into {body_bytes} bytes")
        cdef WorkerTable fresh = WorkerTable(max(self.row_capacity, <Py_ssize_t>rows))
        fresh.now_ms = self.now_ms
        fresh.read_rows(body, <Py_ssize_t>rows, names_at, body_bytes)
        fresh.read_free_rows(body + names_at - 4 * <Py_ssize_t>free_count, <Py_ssize_t>free_count)
        self.swap(fresh)

    def digest(self, uint64_t seed=0):
        """64-bit digest of all state; equal state, equal digest, whatever the capacity. Costs a snapshot."""
        cdef bytes frame = self.snapshot()
        return nexus_digest(<const unsigned char *><char *>frame, len(frame), seed)

    cdef int allocate(self, Py_ssize_t capacity) except -1:
        """Move to a slab for `capacity` rows, rounded up to whole blocks; on failure nothing has changed."""
        cdef Columns columns
        cdef Py_ssize_t rounded = (capacity + NEXUS_BLOCK_ROWS - 1) // NEXUS_BLOCK_ROWS * NEXUS_BLOCK_ROWS
        cdef Py_ssize_t slab_bytes = carve_all(&columns, NULL, rounded)
        cdef void *slab = aligned_alloc(ALIGNMENT, slab_bytes)
        if slab == NULL:
            raise MemoryError(f"{slab_bytes} bytes for {rounded} workers")
        memset(slab, 0, slab_bytes)
        carve_all(&columns, slab, rounded)
        if self.slab != NULL:
            copy_columns(&columns, &self.columns, self.row_count, self.free_count)
            free(self.slab)
        self.slab = slab
        self.columns = columns
        self.row_capacity = rounded
        cdef Py_ssize_t row
        for row in range(self.row_count, rounded):
            self.columns.closed_ms[row] = INFINITY
            self.clear_row(row)
        return 0

    cdef int require_live(self, Py_ssize_t row) except -1:
        if row < 0 or row >= self.row_count or not self.columns.live[row]:
            raise KernelError(f"row {row} is not live")
        return 0

    cdef void refresh(self, Py_ssize_t row, bint booked) noexcept:
        """Derive what the scorer reads from what is known of the row; `booked`: its work or its pace has changed."""
        cdef Columns *columns = &self.columns
        cdef bint was_open = columns.closed_ms[row] == 0
        cdef bint accepts = columns.live[row] and columns.accepting[row]
        cdef bint is_open = accepts and columns.in_flight[row] < columns.credit[row]
        cdef double rest_ms
        cdef bint was_idle = was_open and columns.load[row] < 1
        cdef bint waits = columns.in_flight[row] >= columns.slots[row]
        if not waits:
            columns.free_at_ms[row] = -MS_MAX
        elif booked or columns.free_at_ms[row] == -MS_MAX:
            rest_ms = columns.booked_ms[row] / (columns.slots[row] * <double>columns.share[row])
            columns.free_at_ms[row] = min(self.now_ms + rest_ms, MS_MAX)
        columns.wait_ms[row] = waiting(columns.free_at_ms[row], self.now_ms)
        columns.load[row] = <float>columns.in_flight[row] / <float>columns.slots[row]
        columns.closed_ms[row] = <float>0.0 if is_open else <float>INFINITY
        self.idle_rows += <bint>(is_open and not waits) - was_idle
        if is_open != was_open:
            self.open_rows += 1 if is_open else -1
            self.count_open(row, 1 if is_open else -1)

    cdef void count_open(self, Py_ssize_t row, int change) noexcept:
        """A row of its class was opened (1) or closed (-1)."""
        cdef Py_ssize_t index = self.columns.class_index[row]
        cdef int32_t *rows = &self.columns.class_open[index]
        cdef bint had = rows[0] > 0
        rows[0] += change
        cdef bint has = rows[0] > 0
        if had != has:
            self.open_class_count += change
            self.open_class_sum += change * index

    cdef void clear_row(self, Py_ssize_t row) noexcept:
        """All but the generation as in a row that nobody ever used."""
        cdef Columns *columns = &self.columns
        columns.factor[row] = columns.share[row] = 1.0
        columns.bias_ms[row] = 0.0
        columns.booked_ms[row] = 0.0
        columns.heard_at_ms[row] = 0.0
        columns.in_flight[row] = 0
        columns.slots[row] = 1
        columns.credit[row] = 0
        columns.live[row] = 0
        columns.accepting[row] = 0
        self.refresh(row, False)
        columns.class_index[row] = 0  # only now: it has been counted out of its class

    cdef Py_ssize_t take_row(self) except -1:
        """A row for a new worker: the one freed last, else a new one."""
        if self.free_count > 0:
            self.free_count -= 1
            return self.columns.free_rows[self.free_count]
        if self.row_count == self.row_capacity:
            if self.row_count == ROWS_MAX:
                raise KernelError(f"{ROWS_MAX} workers are as many as a table holds")
            self.allocate(min(2 * self.row_capacity, ROWS_MAX))
        self.names.append(None)
        self.row_count += 1
        return self.row_count - 1

    cdef int read_rows(
        self, const unsigned char *body, Py_ssize_t rows, Py_ssize_t names_at, Py_ssize_t body_bytes
    ) except -1:
        """Fill this empty table; every field is checked against the bounds that the setters keep."""
        cdef Py_ssize_t row, name_bytes
        cdef const unsigned char *at
        cdef str name
        for row in range(rows):
            at = body + BODY_HEADER_BYTES + RECORD_BYTES * row
            name_bytes = recorded_name_bytes(at)
            if name_bytes > body_bytes - names_at:
                raise SnapshotUnreadable(f"the name of row {row} ends behind the snapshot")
            self.names.append(None)
            self.row_count += 1
            try:
                read_record(&self.columns, row, at)
                if self.columns.class_index[row] >= rows:
                    raise KernelError(f"class index {self.columns.class_index[row]} of {rows} rows cannot be")
            except KernelError as error:
                raise SnapshotUnreadable(f"row {row}: {error}") from error
            self.class_bound = max(self.class_bound, self.columns.class_index[row] + 1)
            self.refresh(row, False)
            if self.columns.live[row]:
                name = name_at(body + names_at, name_bytes)
                if name in self.row_by_name:
                    raise SnapshotUnreadable(f"worker {name!r} has two rows")
                self.names[row] = name
                self.row_by_name[name] = row
            elif name_bytes:
                raise SnapshotUnreadable(f"row {row} is free and has a name")
            else:
                self.clear_row(row)
            names_at += name_bytes
        if names_at != body_bytes:
            raise SnapshotUnreadable(f"{body_bytes - names_at} bytes behind the last name")
        return 0

    cdef int read_free_rows(self, const unsigned char *at, Py_ssize_t free_count) except -1:
        """The stack of free rows must hold every row that is not live, once."""
        cdef Py_ssize_t index, row
        cdef set seen = set()
        for index in range(free_count):
            row = nexus_get_u32(at + 4 * index)
            if row >= self.row_count or self.columns.live[row] or row in seen:
                raise SnapshotUnreadable(f"row {row} cannot be free")
            seen.add(row)
            self.columns.free_rows[index] = <int32_t>row
        self.free_count = free_count
        if len(self.row_by_name) + free_count != self.row_count:
            raise SnapshotUnreadable("a row is neither live nor free")
        return 0

    cdef int swap(self, WorkerTable other) except -1:
        self.columns, other.columns = other.columns, self.columns
        self.slab, other.slab = other.slab, self.slab
        self.row_capacity = other.row_capacity
        self.row_count = other.row_count
        self.free_count = other.free_count
        self.open_rows = other.open_rows
        self.idle_rows = other.idle_rows
        self.class_bound = other.class_bound
        self.open_class_count = other.open_class_count
        self.open_class_sum = other.open_class_sum
        self.row_by_name = other.row_by_name
        self.names = other.names
        return 0
