"""Contract of paces between compiled modules."""

cimport cython
from libc.stdint cimport int64_t

from nexus_sched._kernel.worker_table cimport WorkerTable


cdef extern from "nexus_pace.h" nogil:
    const double NEXUS_FACTOR_LEAST
    const double NEXUS_FACTOR_MOST
    const double NEXUS_PACE_LEAST
    const double NEXUS_PACE_MOST
    const double NEXUS_DEAD_BAND
    const double NEXUS_DOUBT_AT_FIRST
    const double NEXUS_DEVIATION_MOST

    ctypedef struct nexus_pace:  # the fields are described in the header
        double factor
        double doubt
        double pace
        int64_t samples
        int64_t pace_samples
        double slower
        double faster
        int64_t runs
        double run_ms
        double expected_ms
        double former

    ctypedef struct nexus_told:
        double p50_ms
        double mean_ms
        double p95_ms
        double p10_ms
        double p90_ms

    void nexus_pace_reset(nexus_pace *pace) noexcept
    double nexus_deviation(double run_ms, double p50_ms, double p95_ms) noexcept
    double nexus_pace_observe(nexus_pace *pace, double run_ms, double class_ms, double p50_ms, double p95_ms) noexcept
    void nexus_pace_settle(nexus_pace *pace) noexcept
    double nexus_pace_learn(
        nexus_pace *pace, double typical, double run_ms, double class_ms, double told_pace, const nexus_told *told
    ) noexcept
    double nexus_pace_significant(const nexus_pace *pace) noexcept


cdef class WorkerPace:
    cdef nexus_pace learned  # everything


@cython.final
cdef class Paces:
    cdef WorkerTable table  # whose factors are derived from the paces
    cdef public double typical  # learned: measured / predicted over all workers; ratio

    cdef int derive(self, WorkerPace worker, Py_ssize_t row) except -1
