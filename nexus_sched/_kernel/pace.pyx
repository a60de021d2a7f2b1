"""How fast workers are, by their runs: csrc/nexus_pace.c over the records of workers and the factors of their rows.

Laws: whatever moves a factor derives the one of the row from it in the same call (a restored record comes with a
restored row). A pace that has changed is only told: what is done then is policy. Each call is O(1).
"""

cimport cython

from nexus_sched._kernel.columns cimport MS_MAX, bounded
from nexus_sched._kernel.worker_table cimport WorkerTable

from nexus_sched.errors import KernelError


FACTOR_MIN, FACTOR_MAX = NEXUS_FACTOR_LEAST, NEXUS_FACTOR_MOST
PACE_MIN, PACE_MAX = NEXUS_PACE_LEAST, NEXUS_PACE_MOST
DEAD_BAND = NEXUS_DEAD_BAND
DOUBT_AT_FIRST = NEXUS_DOUBT_AT_FIRST
DEVIATION_MAX = NEXUS_DEVIATION_MOST


def deviation(double run_ms, double p50_ms, double p95_ms):
    """How far a run is from its prediction, in spreads; above 0 if slower."""
    if not (run_ms > 0.0 and p50_ms > 0.0):
        raise KernelError(f"a run of {run_ms!r} ms that should take {p50_ms!r} ms has no deviation")
    return nexus_deviation(run_ms, p50_ms, p95_ms)


cdef class WorkerPace:
    """What runs have told of one worker. The `.pyi` tells what the fields mean."""

    def __cinit__(self):
        nexus_pace_reset(&self.learned)

    @property
    def factor(self):
        return self.learned.factor

    @factor.setter
    def factor(self, double value):
        self.learned.factor = value

    @property
    def doubt(self):
        return self.learned.doubt

    @doubt.setter
    def doubt(self, double value):
        self.learned.doubt = value

    @property
    def pace(self):
        return self.learned.pace

    @pace.setter
    def pace(self, double value):
        self.learned.pace = value

    @property
    def samples(self):
        return self.learned.samples

    @samples.setter
    def samples(self, int64_t value):
        self.learned.samples = value

    @property
    def pace_samples(self):
        return self.learned.pace_samples

    @pace_samples.setter
    def pace_samples(self, int64_t value):
        self.learned.pace_samples = value

    @property
    def sums(self):
        """The sums of a possible change, `None` if runs are as predicted."""
        if self.learned.runs == 0:
            return None
        return (
            self.learned.slower, self.learned.faster, self.learned.runs, self.learned.run_ms,
            self.learned.expected_ms, self.learned.former,
        )

    @sums.setter
    def sums(self, tuple values):
        if values is None:
            nexus_pace_settle(&self.learned)
            return
        (
            self.learned.slower, self.learned.faster, self.learned.runs, self.learned.run_ms,
            self.learned.expected_ms, self.learned.former,
        ) = values

    def make_good(self, double more_ms):
        """The last run behind the sums has taken so much more than was known when it was observed."""
        if self.learned.runs > 0 and more_ms > 0.0:
            self.learned.run_ms += more_ms


@cython.final
cdef class Paces:
    """All workers of a pool, as far as their runs say something of all."""

    def __cinit__(self, WorkerTable table not None):
        self.table = table
        self.typical = 1.0

    def observe(self, WorkerPace worker not None, double run_ms, double class_ms, double p50_ms, double p95_ms):
        """Measured / expected since the worker's pace has changed, 0 if it has not."""
        return nexus_pace_observe(&worker.learned, run_ms, class_ms, p50_ms, p95_ms)

    def learn(
        self, WorkerPace worker not None, Py_ssize_t row, double run_ms, double class_ms, double told_pace,
        double p50_ms, double mean_ms, double p95_ms, double p10_ms, double p90_ms,
    ):
        """Move the worker's factor and pace."""
        cdef nexus_told told = nexus_told(p50_ms, mean_ms, p95_ms, p10_ms, p90_ms)
        self.table.require_live(row)
        self.typical = nexus_pace_learn(&worker.learned, self.typical, run_ms, class_ms, told_pace, &told)
        self.derive(worker, row)

    def take(
        self, WorkerPace worker not None, Py_ssize_t row, double run_ms, double class_ms, double told_pace,
        double p50_ms, double mean_ms, double p95_ms, double p10_ms, double p90_ms,
    ):
        """`observe`, and if nothing has changed `learn`."""
        cdef nexus_told told = nexus_told(p50_ms, mean_ms, p95_ms, p10_ms, p90_ms)
        self.table.require_live(row)
        cdef double factor = nexus_pace_observe(&worker.learned, run_ms, class_ms, p50_ms, p95_ms)
        if factor != 0.0:
            return factor
        self.typical = nexus_pace_learn(&worker.learned, self.typical, run_ms, class_ms, told_pace, &told)
        self.derive(worker, row)
        return 0.0

    def restart(self, WorkerPace worker not None, Py_ssize_t row, double factor, int64_t samples):
        """The pace has changed: the factor is what the last `samples` runs say, and follows quickly again."""
        worker.learned.samples, worker.learned.pace_samples, worker.learned.pace = samples, 0, 1.0
        worker.learned.doubt = NEXUS_DOUBT_AT_FIRST / (1.0 + samples)
        self.set_factor(worker, row, factor)

    def set_factor(self, WorkerPace worker not None, Py_ssize_t row, double factor):
        """Take a factor as it is, within its bounds."""
        self.table.require_live(row)
        bounded(factor, 0.0, MS_MAX, "factor")
        worker.learned.factor = min(max(factor, NEXUS_FACTOR_LEAST), NEXUS_FACTOR_MOST)
        self.derive(worker, row)

    cdef int derive(self, WorkerPace worker, Py_ssize_t row) except -1:
        """The factor of the row, as the choice goes by it."""
        self.table.columns.factor[row] = <float>bounded(
            nexus_pace_significant(&worker.learned), 0.0, NEXUS_FACTOR_MOST, "factor"
        )
        return 0
