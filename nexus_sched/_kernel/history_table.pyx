"""The last runs of every task type, and the predictions they give. The arithmetic is csrc/nexus_history.c.

Laws: a type takes one block of under 4 KiB and nothing else grows; the type learned longest ago gives way; equal
runs in equal order give equal bytes on every machine.
"""

from collections import namedtuple

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset, strcmp

from nexus_sched._kernel.layout cimport (
    body_of, checked_body, name_at, new_frame, nexus_digest, nexus_get_u32, nexus_get_u64, nexus_put_u64, seal,
)

from nexus_sched.errors import KernelError, SnapshotUnreadable


cdef bytes MAGIC = b"NXHT"
cdef Py_ssize_t BODY_HEADER_BYTES = 16
cdef Py_ssize_t TYPES_MAX = 1 << 20
cdef Py_ssize_t HASHES_MAX = 65_536
cdef Py_ssize_t CLASSES_MAX = 65_536
cdef double MS_MAX = 1e15
cdef double MS_MIN = 1e-9  # what the kernel calls instant
cdef double PROPORTION_MAX = 1e9
cdef enum: HELD_MAX = 32  # runs that wait and are heard
cdef double BYTES_MAX = 1e15

cdef enum:
    DOUBTED = 1  # DOUBTFUL, for C
    TAKEN_NOT = -1
    TAKEN_DRIFTED = 1
    TAKEN_YOUNG = 2

USUAL, DOUBTFUL, NEWS, UNTOLD = range(4)  # what other workers say of a run; as in csrc/nexus_witness.h
NOT_TAKEN, DRIFTED, YOUNG = TAKEN_NOT, TAKEN_DRIFTED, TAKEN_YOUNG  # what `take` answers
EXPERT_NAMES = ("near", "cell", "late", "wide", "local", "power", "newest", "affine", "log-ema")

HistoryEstimate = namedtuple(
    "HistoryEstimate",
    ("p50_ms", "mean_ms", "p10_ms", "p80_ms", "p90_ms", "p95_ms", "alike", "hit_rate", "expert", "samples"),
    module=__name__,
)
HistoryEstimate.__doc__ = "Predicted service time from like runs. Milliseconds unless said otherwise."
cdef object new_tuple = tuple.__new__


def log2(double value):
    """log2 by the kernel's own series, to at most 2 ulp; for tests. `value` must be positive and normal."""
    if not 2.3e-308 <= value <= 1.7e308:
        raise KernelError(f"{value!r} is not positive and normal")
    return nexus_log2(value)


def exp2(double exponent):
    """2 ** exponent by the kernel's own series, to at most 2 ulp; for tests. Within [-1000, 1000]."""
    if not -1000.0 <= exponent <= 1000.0:
        raise KernelError(f"{exponent!r} is not within [-1000, 1000]")
    return nexus_exp2(exponent)


@cython.final
cdef class HistoryTable:
    """A ring of the newest runs per task type. The `.pyi` tells what is predicted."""

    def __cinit__(self, Py_ssize_t types_max=4096):
        if not 1 <= types_max <= TYPES_MAX:
            raise KernelError(f"types_max {types_max} is not within [1, {TYPES_MAX}]")
        self.types_max = types_max
        self.row_by_type = {}
        self.hash_by_name = {}
        self.histories = <History **>calloc(types_max, sizeof(History *))
        self.space = <Workspace *>calloc(1, sizeof(Workspace))
        self.blank = <History *>calloc(1, sizeof(History))
        if self.histories == NULL or self.space == NULL or self.blank == NULL:
            raise MemoryError(f"histories of {types_max} types")
        nexus_prepare(self.space)

    def __dealloc__(self):
        cdef Py_ssize_t row
        if self.histories != NULL:
            for row in range(self.types_max):
                free(self.histories[row])
        free(self.histories)
        free(self.space)
        free(self.blank)
        free(self.class_hashes)

    def __len__(self):
        return len(self.row_by_type)

    def samples(self, str task_type not None):
        """Runs ever learned of the type, 0 if it is not kept."""
        cdef History *history = self.find(task_type)
        return 0 if history == NULL else history.samples

    def predict(
        self,
        str task_type not None,
        double payload_bytes=0.0,
        str worker_class not None="",
        str worker not None="",
        double hint_ms=0.0,
        double hint_weight=0.0,
    ):
        """`None` if nothing is known of the type and there is no hint."""
        cdef Told told
        if not self.ask(task_type, payload_bytes, worker_class, worker, hint_ms, hint_weight, &told):
            return None
        return new_tuple(HistoryEstimate, (
            told.ms[0], told.ms[1], told.ms[2], told.ms[3], told.ms[4], told.ms[5],
            told.alike, told.hit_rate, told.expert, told.samples,
        ))

    cdef bint ask(
        self, str task_type, double payload_bytes, str worker_class, str worker, double hint_ms, double hint_weight,
        Told *told
    ) except -1:
        """The estimate in numbers of C; False if there is none."""
        cdef Estimated estimate
        cdef float octaves[6]
        cdef Query query = self.query_of(payload_bytes, worker_class, worker)
        cdef History *history = self.find(task_type)
        self.add_hint(&query, hint_ms, hint_weight)
        if history == NULL:
            if not hint_weight > 0.0:
                return False
            history = self.blank
        if nexus_predict(history, self.space, query, &estimate) < 0:
            return False
        octaves[0] = estimate.p50
        octaves[1] = estimate.mean
        octaves[2] = estimate.shown[0]
        octaves[3] = estimate.shown[1]
        octaves[4] = estimate.shown[2]
        octaves[5] = estimate.shown[3]
        nexus_exp2_each(octaves, told.ms, 6)
        told.alike = estimate.alike
        told.hit_rate = estimate.hit_rate
        told.expert = estimate.expert
        told.samples = history.samples
        return True

    def class_means(
        self,
        str task_type not None,
        double payload_bytes,
        tuple classes not None,
        means_ms not None,
        double hint_ms=0.0,
        double hint_weight=0.0,
    ):
        """Means for several classes in one pass; the samples of the type, 0 if there are none."""
        cdef Query query = self.query_of(payload_bytes, "", "")
        cdef History *history = self.find(task_type)
        cdef Py_buffer view
        self.add_hint(&query, hint_ms, hint_weight)
        if history == NULL:
            if not hint_weight > 0.0:
                return 0
            history = self.blank
        self.name_classes(classes)
        PyObject_GetBuffer(means_ms, &view, PyBUF_WRITABLE | PyBUF_ND | PyBUF_FORMAT)
        try:
            if strcmp(view.format, b"f") != 0 or view.len < len(classes) * <Py_ssize_t>sizeof(float):
                raise KernelError(f"means_ms must be a buffer of at least {len(classes)} C floats")
            nexus_class_means(history, self.space, query, self.class_hashes, len(classes), <float *>view.buf)
        finally:
            PyBuffer_Release(&view)
        return history.samples

    def learn(
        self,
        str task_type not None,
        double payload_bytes,
        str worker_class not None,
        str worker not None,
        double run_ms,
        double low_ms=0.0,
        double high_ms=0.0,
        int64_t seen=-1,
        double p50_ms=0.0,
    ):
        """Take in one run; True if it made the drift alarm go off."""
        check_run(run_ms)
        cdef Query query = self.query_of(payload_bytes, worker_class, worker)
        cdef History *history = self.touch(task_type)
        return nexus_learn(
            history, self.space, query, run_ms, forecast_of(low_ms, high_ms, seen, p50_ms, history.samples)
        ) == 1

    def take(
        self,
        str task_type not None,
        double payload_bytes,
        str worker_class not None,
        str worker not None,
        double run_ms,
        double proportion,
        int64_t young_max,
        double low_ms=0.0,
        double high_ms=0.0,
        int64_t seen=-1,
        double p50_ms=0.0,
    ):
        """`testimony` and, unless that is DOUBTFUL, `learn`; NOT_TAKEN, or what of DRIFTED and YOUNG is so."""
        check_run(run_ms)
        check_proportion(proportion)
        cdef Query query = self.query_of(payload_bytes, worker_class, worker)
        cdef History *history = self.find(task_type)
        cdef float octaves
        if history != NULL:
            octaves = <float>nexus_log2(proportion)
            if nexus_testimony(history, self.space, query, run_ms, octaves, NULL, 0) == DOUBTED:
                return TAKEN_NOT
        history = self.touch(task_type)
        cdef Forecast forecast = forecast_of(low_ms, high_ms, seen, p50_ms, history.samples)
        cdef int found = TAKEN_DRIFTED if nexus_learn(history, self.space, query, run_ms, forecast) == 1 else 0
        return found | TAKEN_YOUNG if history.samples <= young_max else found

    def testimony(
        self,
        str task_type not None,
        double payload_bytes,
        str worker_class not None,
        str worker not None,
        double run_ms,
        double proportion,
        tuple held not None=(),
    ):
        """What other workers' runs say of this one: USUAL, DOUBTFUL, NEWS or UNTOLD."""
        cdef Run waiting[HELD_MAX]
        cdef Py_ssize_t count = 0
        cdef double held_bytes, held_ms
        check_run(run_ms)
        check_proportion(proportion)
        cdef Query query = self.query_of(payload_bytes, worker_class, worker)
        cdef History *history = self.find(task_type)
        if history == NULL:
            return UNTOLD
        if len(held) > HELD_MAX:
            raise KernelError(f"{len(held)} runs wait, at most {HELD_MAX} are heard")
        for held_bytes, held_class, held_worker, held_ms in held:
            check_run(held_ms)
            waiting[count] = run_of(self.query_of(held_bytes, held_class, held_worker), nexus_time_step(held_ms))
            count += 1
        return nexus_testimony(history, self.space, query, run_ms, <float>nexus_log2(proportion), waiting, count)

    def strike_out(self, str task_type not None, str worker not None, double proportion):
        """Take the lies of a worker out of a history; the (size, time) of each. `None` if nobody can tell."""
        cdef Run struck[STRUCK_MAX]
        cdef int32_t index, count
        check_proportion(proportion)
        cdef History *history = self.find(task_type)
        if history == NULL:
            return []
        count = nexus_strike_out(history, self.space, self.hash_of(worker), <float>nexus_log2(proportion), struck)
        return None if count < 0 else [(struck[index].size, struck[index].time) for index in range(count)]

    def forget(self, str task_type not None, str worker not None, list lies not None):
        """Take these runs, (size, time) each, of a worker out of a history; how many there were."""
        cdef Run struck[STRUCK_MAX]
        cdef Query query = self.query_of(0.0, "", worker)
        cdef History *history = self.find(task_type)
        cdef Py_ssize_t count = 0
        if history == NULL:
            return 0
        if len(lies) > STRUCK_MAX:
            raise KernelError(f"{len(lies)} runs are more than a history holds")
        for size, time in lies:
            query.size = size
            struck[count] = run_of(query, time)
            count += 1
        return nexus_forget(history, struck, count)

    def types_of(self, str worker not None):
        """Types that remember a run of this worker, the one learned longest ago first."""
        cdef uint16_t wanted = self.hash_of(worker)
        cdef list found = []
        for task_type, row in self.row_by_type.items():
            if nexus_remembers(self.histories[<Py_ssize_t>row], wanted):
                found.append(task_type)
        return found

    def push(
        self,
        str task_type not None,
        double payload_bytes,
        str worker_class not None,
        str worker not None,
        double run_ms,
    ):
        """Take in one run without judging experts by it."""
        check_run(run_ms)
        cdef Query query = self.query_of(payload_bytes, worker_class, worker)
        nexus_push(self.touch(task_type), query, run_ms)

    def snapshot(self):
        """Every type, the one learned longest ago first, in a versioned little-endian layout."""
        cdef list parts = []
        cdef str task_type
        for task_type, row in self.row_by_type.items():
            parts.append(written(self.histories[<Py_ssize_t>row], task_type))
        cdef bytes body = b"".join(parts)
        cdef bytes frame = new_frame(MAGIC, VERSION, BODY_HEADER_BYTES + len(body))
        cdef unsigned char *at = body_of(frame)
        nexus_put_u64(at, <uint64_t>self.types_max)
        nexus_put_u64(at + 8, <uint64_t>len(parts))
        memcpy(at + BODY_HEADER_BYTES, <const char *>body, len(body))
        seal(frame)
        return frame

    def restore(self, bytes blob not None):
        """Become exactly what `snapshot` saw. Raises `SnapshotUnreadable`, and then nothing has changed."""
        cdef Py_ssize_t body_bytes = 0
        cdef uint32_t version = 1 if version_of(blob) == 1 else VERSION
        cdef const unsigned char *body = checked_body(blob, MAGIC, version, &body_bytes)
        if body_bytes < BODY_HEADER_BYTES:
            raise SnapshotUnreadable(f"a body of {body_bytes} bytes has no header")
        cdef uint64_t types_max = nexus_get_u64(body), types = nexus_get_u64(body + 8)
        if not 1 <= types_max <= <uint64_t>TYPES_MAX or types > types_max:
            raise SnapshotUnreadable(f"{types} types of at most {types_max} cannot be")
        cdef HistoryTable fresh = HistoryTable(<Py_ssize_t>types_max)
        cdef Py_ssize_t at = BODY_HEADER_BYTES
        cdef uint64_t _index
        for _index in range(types):
            at += read_history(fresh, body + at, body_bytes - at, version)
        if at != body_bytes:
            raise SnapshotUnreadable(f"{body_bytes - at} bytes behind the last type")
        self.histories, fresh.histories = fresh.histories, self.histories
        self.types_max, fresh.types_max = fresh.types_max, self.types_max
        self.row_by_type = fresh.row_by_type

    def digest(self, uint64_t seed=0):
        """64-bit digest of all state; equal state, equal digest. Costs a snapshot."""
        cdef bytes frame = self.snapshot()
        return nexus_digest(<const unsigned char *><char *>frame, len(frame), seed)

    cdef History *find(self, str task_type) except? NULL:
        """The type's history, NULL if it has none."""
        row = self.row_by_type.get(task_type)
        return NULL if row is None else self.histories[<Py_ssize_t>row]

    cdef History *touch(self, str task_type) except NULL:
        """The type's history, made if it has none; now the one learned last."""
        row = self.row_by_type.pop(task_type, None)
        if row is None:
            row = self.new_row(task_type)
        self.row_by_type[task_type] = row
        return self.histories[<Py_ssize_t>row]

    cdef Py_ssize_t new_row(self, str task_type) except -1:
        """A row with an empty history, taken from the type learned longest ago if all are in use."""
        cdef Py_ssize_t row
        try:
            task_type.encode("utf-8")
        except UnicodeEncodeError as error:
            raise KernelError(f"task type {task_type!r} is not a name in UTF-8") from error
        if len(self.row_by_type) >= self.types_max:
            row = self.row_by_type.pop(next(iter(self.row_by_type)))
        else:
            row = len(self.row_by_type)
        if self.histories[row] == NULL:
            self.histories[row] = <History *>calloc(1, sizeof(History))
            if self.histories[row] == NULL:
                raise MemoryError(f"history of {task_type!r}")
        memset(self.histories[row], 0, sizeof(History))
        return row

    cdef uint16_t hash_of(self, str name) except? 0:
        """1..65534 for a name, 0 for no name; 65535 was the class of runs that nobody believed."""
        found = self.hash_by_name.get(name)
        if found is not None:
            return found
        cdef bytes encoded
        cdef uint16_t value
        if not name:
            return 0
        encoded = name.encode("utf-8", "surrogatepass")
        value = <uint16_t>(nexus_digest(<const unsigned char *><char *>encoded, len(encoded), 0) % 65_534 + 1)
        if len(self.hash_by_name) >= HASHES_MAX:
            self.hash_by_name.clear()
        self.hash_by_name[name] = value
        return value

    cdef int name_classes(self, tuple classes) except -1:
        """Hashes of these classes into `class_hashes`. Asked with the same tuple again it does nothing."""
        cdef uint16_t *hashes
        cdef Py_ssize_t index
        if classes is self.classes:
            return 0
        if len(classes) > CLASSES_MAX:
            raise KernelError(f"{len(classes)} classes at once are more than {CLASSES_MAX}")
        self.classes = None
        hashes = <uint16_t *>realloc(self.class_hashes, max(len(classes), 1) * sizeof(uint16_t))
        if hashes == NULL:
            raise MemoryError(f"hashes of {len(classes)} classes")
        self.class_hashes = hashes
        for index in range(len(classes)):
            if not isinstance(classes[index], str):
                raise TypeError(f"a class is a str, not {classes[index]!r}")
            hashes[index] = self.hash_of(classes[index])
        self.classes = classes
        return 0

    cdef Query query_of(self, double payload_bytes, str worker_class, str worker) except *:
        cdef Query query
        if not 0.0 <= payload_bytes <= BYTES_MAX:
            raise KernelError(f"payload_bytes {payload_bytes!r} is not within [0, {BYTES_MAX!r}]")
        query.size = nexus_size_step(payload_bytes) if payload_bytes > 0.0 else 0
        query.worker_class = self.hash_of(worker_class)
        query.worker = self.hash_of(worker)
        query.hint = 0.0
        query.hint_weight = 0.0
        return query

    cdef int add_hint(self, Query *query, double hint_ms, double hint_weight) except -1:
        """What the submitter expects, if anything."""
        if hint_weight > 0.0:
            if not (0.0 <= hint_ms <= MS_MAX and hint_weight <= 1e6):
                raise KernelError(f"hint of {hint_ms!r} ms with weight {hint_weight!r} is out of bounds")
            query.hint = <float>nexus_log2(max(hint_ms, 1e-6))
            query.hint_weight = <float>hint_weight
        return 0


cdef Forecast forecast_of(double low_ms, double high_ms, int64_t seen, double p50_ms, int64_t samples) noexcept:
    """What had been predicted, in octaves; low > high if nothing was, or nothing that can be."""
    cdef Forecast forecast = Forecast(low=1.0, p50=0.0, high=0.0, seen=seen if 0 <= seen <= samples else samples)
    if 0.0 < low_ms <= high_ms <= MS_MAX:
        forecast.low = <float>nexus_log2(max(low_ms, MS_MIN))
        forecast.high = <float>nexus_log2(max(high_ms, MS_MIN))
        forecast.p50 = <float>0.5 * (forecast.low + forecast.high)
        if low_ms <= p50_ms <= high_ms:
            forecast.p50 = <float>nexus_log2(max(p50_ms, MS_MIN))
    return forecast


cdef int check_run(double run_ms) except -1:
    if not 0.0 <= run_ms <= MS_MAX:
        raise KernelError(f"run_ms {run_ms!r} is not within [0, {MS_MAX!r}]")
    return 0


cdef int check_proportion(double proportion) except -1:
    if not 1.0 <= proportion <= PROPORTION_MAX:
        raise KernelError(f"proportion {proportion!r} is not within [1, {PROPORTION_MAX!r}]")
    return 0


cdef Run run_of(Query query, int16_t time) noexcept:
    cdef Run run
    run.size = query.size
    run.time = time
    run.worker_class = query.worker_class
    run.worker = query.worker
    return run


cdef uint32_t version_of(bytes frame) noexcept:
    """What the header says, 0 if there is none; whether it is true is for others to check."""
    return nexus_get_u32(<const unsigned char *>PyBytes_AS_STRING(frame) + 4) if len(frame) >= 8 else 0


cdef bytes written(const History *history, str task_type):
    """One type as nexus_record.h lays it out; equal rings give equal bytes."""
    cdef bytes name = task_type.encode("utf-8")
    cdef uint32_t name_bytes = <uint32_t>len(name)
    cdef bytes record = PyBytes_FromStringAndSize(NULL, nexus_record_bytes(history, name_bytes))
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(record)
    nexus_write_record(history, name_bytes, at)
    memcpy(at + nexus_scalar_bytes(VERSION), <const char *>name, name_bytes)
    return record


cdef Py_ssize_t read_history(
    HistoryTable table, const unsigned char *at, Py_ssize_t left, uint32_t version
) except -1:
    """One type from a snapshot, checked; gives how many bytes it took."""
    cdef uint32_t name_bytes = 0
    cdef Py_ssize_t size = nexus_measure_record(at, left, version, &name_bytes)
    if size < 0:
        raise SnapshotUnreadable("a type has an impossible ring or ends behind the snapshot")
    cdef str task_type = name_at(at + nexus_scalar_bytes(version), name_bytes)
    if task_type in table.row_by_type:
        raise SnapshotUnreadable(f"type {task_type!r} stands twice")
    if nexus_read_record(table.touch(task_type), at, version) < 0:
        raise SnapshotUnreadable(f"type {task_type!r} has impossible numbers")
    return size
