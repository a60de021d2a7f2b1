"""Contract of the history table: the last runs of every task type."""

cimport cython
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t


cdef extern from "nexus_history.h" nogil:
    ctypedef struct History "nexus_history":  # one task type; the fields are described in the header
        int64_t samples

    ctypedef struct Query "nexus_query":
        int16_t size
        uint16_t worker_class
        uint16_t worker
        float hint
        float hint_weight

    ctypedef struct Estimated "nexus_estimate":
        float p50
        float *shown
        float mean
        float alike
        float hit_rate
        int32_t expert

    ctypedef struct Forecast "nexus_forecast":
        float low
        float p50
        float high
        int64_t seen

    ctypedef struct Workspace "nexus_workspace":
        pass

    void nexus_prepare(Workspace *space) noexcept
    int16_t nexus_size_step(double payload_bytes) noexcept
    int16_t nexus_time_step(double run_ms) noexcept
    int nexus_predict(const History *history, Workspace *space, Query query, Estimated *estimate) noexcept
    int nexus_class_means(
        const History *history, Workspace *space, Query query, const uint16_t *classes, Py_ssize_t count,
        float *means_ms
    ) noexcept
    int nexus_learn(History *history, Workspace *space, Query query, double run_ms, Forecast forecast) noexcept
    void nexus_push(History *history, Query query, double run_ms) noexcept


cdef extern from "nexus_record.h" nogil:
    const uint32_t VERSION "NEXUS_RECORD_VERSION"  # of the layout; older ones are read as well
    Py_ssize_t nexus_scalar_bytes(uint32_t version) noexcept
    Py_ssize_t nexus_record_bytes(const History *history, uint32_t name_bytes) noexcept
    void nexus_write_record(const History *history, uint32_t name_bytes, unsigned char *at) noexcept
    Py_ssize_t nexus_measure_record(
        const unsigned char *at, Py_ssize_t left, uint32_t version, uint32_t *name_bytes
    ) noexcept
    int nexus_read_record(History *history, const unsigned char *at, uint32_t version) noexcept


cdef extern from "nexus_witness.h" nogil:
    const int STRUCK_MAX "NEXUS_RUNS"  # runs a history holds; count

    ctypedef struct Run "nexus_run":
        int16_t size
        int16_t time
        uint16_t worker_class
        uint16_t worker

    int nexus_testimony(
        const History *history, Workspace *space, Query query, double run_ms, float proportion,
        const Run *held, Py_ssize_t held_count
    ) noexcept
    int32_t nexus_strike_out(
        History *history, Workspace *space, uint16_t worker, float proportion, Run *struck
    ) noexcept
    int32_t nexus_forget(History *history, const Run *lies, Py_ssize_t lie_count) noexcept
    bint nexus_remembers(const History *history, uint16_t worker) noexcept


cdef extern from "nexus_logarithm.h" nogil:
    double nexus_log2(double value) noexcept
    double nexus_exp2(double exponent) noexcept
    void nexus_exp2_each(const float *exponent, double *power, Py_ssize_t count) noexcept


ctypedef struct Told:  # what is known of one question
    double ms[6]  # p50, mean, p10, p80, p90, p95
    double alike  # effective number of runs behind it; count
    double hit_rate  # of the expert that spoke; share
    int expert  # which one
    int64_t samples  # runs the type had been learned from; count


@cython.final
cdef class HistoryTable:
    cdef History **histories  # shape (types_max,), NULL where no type has the row; row = task type
    cdef Workspace *space  # working memory of one call
    cdef History *blank  # of a type that is not kept; never written to
    cdef Py_ssize_t types_max  # types kept; the one learned longest ago gives way; count
    cdef dict row_by_type  # str -> int, the type learned longest ago first
    cdef dict hash_by_name  # str -> int, of workers and classes; a cache
    cdef tuple classes  # asked for last; the same ones are asked for again and again
    cdef uint16_t *class_hashes  # shape (len(classes),), hash of each

    cdef bint ask(
        self, str task_type, double payload_bytes, str worker_class, str worker, double hint_ms, double hint_weight,
        Told *told
    ) except -1
    cdef Py_ssize_t new_row(self, str task_type) except -1
    cdef History *find(self, str task_type) except? NULL
    cdef History *touch(self, str task_type) except NULL
    cdef uint16_t hash_of(self, str name) except? 0
    cdef int name_classes(self, tuple classes) except -1
    cdef Query query_of(self, double payload_bytes, str worker_class, str worker) except *
    cdef int add_hint(self, Query *query, double hint_ms, double hint_weight) except -1
