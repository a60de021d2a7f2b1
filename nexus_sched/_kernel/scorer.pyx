"""Scores all workers for one task and picks one: csrc/nexus_score.c over the columns of a `WorkerTable`.

Laws
* What was asked in the last choice is remembered, for its bill (`_kernel.bill`).
* A closed row scores +inf, an open one a finite number, unless an extra column keeps the task from it (+inf as well);
  anything else is a `KernelError`, never a choice.
* The terms of single rows are added to their bias for one pass, and the bias is put back to the bit.
"""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset, strcmp

from nexus_sched._kernel.columns cimport FACTOR_MAX, MS_MAX, Columns, bounded
from nexus_sched._kernel.worker_table cimport WorkerTable

from nexus_sched.errors import KernelError


cdef extern from "nexus_score.h" nogil:
    const Py_ssize_t NEXUS_BLOCK_ROWS
    const Py_ssize_t NEXUS_LANES
    float nexus_score(
        const float *wait_ms, const float *factor, const float *bias_ms, const float *closed_ms, const float *load,
        const int32_t *class_index, const float *class_ms, Py_ssize_t class_count, const float *extra_ms,
        Py_ssize_t blocks, float run_ms, float wait_weight, float balance_ms, float *scores, float *minima
    ) noexcept
    float nexus_within(
        const float *wait_ms, Py_ssize_t blocks, float wait_max_ms, float *scores, float *minima
    ) noexcept
    void nexus_demand(
        const double *free, const double *offered, Py_ssize_t rows, double amount, double rounding, double fit_ms,
        float *extra_ms
    ) noexcept
    Py_ssize_t nexus_best(
        const float *scores, const float *minima, Py_ssize_t blocks, float least
    ) noexcept
    Py_ssize_t nexus_select(
        const float *scores, const float *minima, const float *load, Py_ssize_t rows, Py_ssize_t rotation,
        float threshold, float *load_minima
    ) noexcept

cdef extern from "nexus_logarithm.h" nogil:
    double nexus_exp2(double exponent) noexcept

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size) noexcept


cdef Py_ssize_t ALIGNMENT = 64  # bytes: a cache line, and the widest vector
cdef double AMOUNT_MAX = 1e18  # of a resource
cdef double HALVINGS_MAX = 1000.0  # what 2 ** -x still tells from 0


cdef int take_floats(source, Py_ssize_t count, Py_buffer *view, str what) except -1:
    """Hold a buffer of at least `count` C floats; the caller gives it back."""
    PyObject_GetBuffer(source, view, PyBUF_ND | PyBUF_FORMAT)
    if strcmp(view.format, b"f") != 0 or view.len < count * <Py_ssize_t>sizeof(float):
        raise KernelError(f"{what} must be a buffer of at least {count} C floats")
    return 0


cdef int take_doubles(source, Py_ssize_t count, Py_buffer *view, str what) except -1:
    """The same for C doubles."""
    PyObject_GetBuffer(source, view, PyBUF_ND | PyBUF_FORMAT)
    if strcmp(view.format, b"d") != 0 or view.len < count * <Py_ssize_t>sizeof(double):
        raise KernelError(f"{what} must be a buffer of at least {count} C doubles")
    return 0


def demand(extra_ms, base_ms, tuple demands not None, double fit_ms, double rounding):
    """Fill `extra_ms` with `base_ms` (0 if `None`), +inf where one of the demands is not met, and what fits worse.

    A demand is (free, offered, amount): two buffers of C doubles over the rows, and a number. Cost: a pass each.
    """
    cdef Py_buffer extra, base, free_view, offered_view
    cdef Py_ssize_t rows
    cdef double amount
    memset(&base, 0, sizeof(Py_buffer))
    PyObject_GetBuffer(extra_ms, &extra, PyBUF_ND | PyBUF_FORMAT | PyBUF_WRITABLE)
    try:
        if strcmp(extra.format, b"f") != 0:
            raise KernelError("extra_ms must be a buffer of C floats")
        rows = extra.len // <Py_ssize_t>sizeof(float)
        bounded(fit_ms, 0.0, MS_MAX, "fit_ms")
        bounded(rounding, 0.0, 1.0, "rounding")
        if base_ms is None:
            memset(extra.buf, 0, extra.len)
        else:
            take_floats(base_ms, rows, &base, "base_ms")
            memcpy(extra.buf, base.buf, extra.len)
        for free_column, offered, asked in demands:
            amount = bounded(asked, 0.0, AMOUNT_MAX, "amount")
            memset(&free_view, 0, sizeof(Py_buffer))
            memset(&offered_view, 0, sizeof(Py_buffer))
            try:
                take_doubles(free_column, rows, &free_view, "free")
                take_doubles(offered, rows, &offered_view, "offered")
                nexus_demand(
                    <const double *>free_view.buf, <const double *>offered_view.buf, rows, amount, rounding, fit_ms,
                    <float *>extra.buf
                )
            finally:
                PyBuffer_Release(&free_view)
                PyBuffer_Release(&offered_view)
    finally:
        PyBuffer_Release(&base)
        PyBuffer_Release(&extra)


def halved(
    WorkerTable table not None, dict instants not None, double worth_ms, double half_life_ms, double at_ms,
    double halvings_max,
):
    """(row, ms) of the live workers among these: minus the worth, halved with every half life since their instant."""
    cdef list found = []
    cdef double since_ms, left
    if not (half_life_ms > 0.0 and 0.0 <= halvings_max <= HALVINGS_MAX):
        raise KernelError(f"half life {half_life_ms!r} or {halvings_max!r} halvings are out of bounds")
    for name, instant_ms in instants.items():
        row = table.row_by_name.get(name)
        since_ms = <double>instant_ms - at_ms
        if row is not None and since_ms >= -halvings_max * half_life_ms:
            left = nexus_exp2(since_ms / half_life_ms) if since_ms < 0.0 else 1.0
            found.append((row, -worth_ms * left))
    return tuple(found)


cdef bint within(const float *means_ms, Py_ssize_t count) noexcept:
    """Whether all lie in [0, MS_MAX]; NaN lies nowhere."""
    cdef Py_ssize_t index
    cdef int good = 1
    for index in range(count):
        good &= means_ms[index] >= 0
        good &= means_ms[index] <= <float>MS_MAX
    return good


@cython.final
cdef class Scorer:
    """J of all rows of a table, and the row of the best; the `.pyi` has the formula."""

    def __cinit__(self, WorkerTable table not None):
        self.table = table
        self.chosen_score_ms = INFINITY
        self.fit()

    def __dealloc__(self):
        free(self.score_column)
        free(self.minima)
        free(self.load_minima)

    def choose(
        self,
        run_ms,
        double wait_weight,
        double near_tie_share,
        double near_tie_ms,
        long long rotation,
        double balance_ms=0.0,
        extra_ms=None,
        tuple terms not None=(),
        double wait_max_ms=INFINITY,
    ):
        """Row of the best worker, -1 if no row is open to the task. Raises `KernelError` if a score is not finite.

        Reads wait_ms, factor, bias_ms, closed, load, class_index and the buffers; writes the scores. One pass over
        the rows, a second one over the blocks that hold a near tie.
        """
        if not (0.0 <= near_tie_share <= FACTOR_MAX and 0.0 <= near_tie_ms <= MS_MAX):
            raise KernelError(f"near tie of {near_tie_share!r} * run + {near_tie_ms!r} ms is out of bounds")
        cdef WorkerTable table = self.table
        cdef float least = self.score(run_ms, wait_weight, balance_ms, extra_ms, terms)
        if wait_max_ms != INFINITY:
            bounded(wait_max_ms, 0.0, MS_MAX, "wait_max_ms")
            least = nexus_within(
                table.columns.wait_ms, self.blocks(), <float>wait_max_ms, self.score_column, self.minima
            )
        if table.open_rows == 0 or (least == INFINITY and (extra_ms is not None or wait_max_ms != INFINITY)):
            return -1
        if not isfinite(least):
            raise KernelError(f"the best score of {table.open_rows} open workers is {least!r}")
        cdef Py_ssize_t best = nexus_best(self.score_column, self.minima, self.blocks(), least)
        if best < 0:
            raise KernelError("no row reaches the best score")
        cdef float margin = <float>near_tie_share * self.run_of(run_ms, best)
        if <float>near_tie_ms > margin:
            margin = <float>near_tie_ms
        cdef Py_ssize_t first = rotation % table.row_count
        if first < 0:
            first += table.row_count
        cdef Py_ssize_t row = nexus_select(
            self.score_column, self.minima, table.columns.load, table.row_count, first, least + margin,
            self.load_minima
        )
        self.chosen_score_ms = self.score_column[row]
        self.asked_run_ms, self.asked_extra_ms, self.asked_terms = run_ms, extra_ms, terms
        self.asked_wait_weight, self.asked_balance_ms = <float>wait_weight, <float>balance_ms
        self.asked_margin_ms = margin
        return row

    @property
    def score_ms(self):
        """J of the row that the last `choose` picked, +inf before the first."""
        return self.chosen_score_ms

    def scores(self, run_ms, double wait_weight, double balance_ms=0.0, extra_ms=None, tuple terms not None=()):
        """J of every row, +inf for those that are not open to the task. For explanations and tests."""
        import numpy  # here, not above: a scheduler that never asks for scores does not pay for numpy

        self.score(run_ms, wait_weight, balance_ms, extra_ms, terms)
        self.asked_run_ms = None
        values = numpy.empty(self.table.row_count, numpy.float32)
        cdef float[::1] target = values
        if self.table.row_count:
            memcpy(&target[0], self.score_column, self.table.row_count * sizeof(float))
        return values

    def has_idle(self, extra_ms=None):
        """Whether a row with a free slot is open, to the task of this column if there is one."""
        cdef WorkerTable table = self.table
        cdef Columns *columns = &table.columns
        cdef Py_buffer extras
        cdef const float *extra
        cdef Py_ssize_t row
        if extra_ms is None or table.idle_rows == 0:
            return table.idle_rows > 0
        memset(&extras, 0, sizeof(Py_buffer))
        take_floats(extra_ms, table.row_count, &extras, "extra_ms")
        try:
            extra = <const float *>extras.buf
            for row in range(table.row_count):
                if columns.closed_ms[row] == 0 and columns.load[row] < 1 and extra[row] < INFINITY:
                    return True
        finally:
            PyBuffer_Release(&extras)
        return False

    def finish_ms(self, run_ms, Py_ssize_t row):
        """When the task would end on a live row: its wait and its run, both unweighted. `run_ms` as in `choose`."""
        self.table.require_live(row)
        return self.table.columns.wait_ms[row] + self.run_of(run_ms, row)

    def soonest_busy_ms(self, run_ms, extra_ms=None):
        """The same for the best of the rows that accept and have no credit left, +inf if there is none.

        For arguments that `choose` has taken just before. A Python object for each such row, so some 50 ns each.
        """
        cdef Columns *columns = &self.table.columns
        cdef Py_ssize_t row
        cdef float least = INFINITY
        cdef float extra = 0.0
        for row in range(self.table.row_count):
            if columns.live[row] and columns.accepting[row] and columns.closed_ms[row] != 0:
                if extra_ms is not None:
                    extra = <float><double>extra_ms[row]
                if extra < INFINITY:
                    least = min(least, columns.wait_ms[row] + self.run_of(run_ms, row))
        return least

    cdef Py_ssize_t blocks(self) noexcept:
        return (self.table.row_count + NEXUS_BLOCK_ROWS - 1) // NEXUS_BLOCK_ROWS

    cdef float run_of(self, run_ms, Py_ssize_t row) except? -1.0:
        """What the task takes on this row; `run_ms` has been checked."""
        cdef Columns *columns = &self.table.columns
        if isinstance(run_ms, float):
            return <float><double>run_ms * columns.factor[row]
        return <float><double>run_ms[columns.class_index[row]] * columns.factor[row]

    cdef int fit(self) except -1:
        """Make room for as many rows as the table has; on failure nothing has changed."""
        cdef Py_ssize_t rows = self.table.row_capacity
        cdef Py_ssize_t minima_bytes = rows // NEXUS_BLOCK_ROWS * NEXUS_LANES * sizeof(float)
        cdef float *score_column = <float *>aligned_alloc(ALIGNMENT, rows * sizeof(float))
        cdef float *minima = <float *>aligned_alloc(ALIGNMENT, minima_bytes)
        cdef float *load_minima = <float *>aligned_alloc(ALIGNMENT, minima_bytes)
        if score_column == NULL or minima == NULL or load_minima == NULL:
            free(score_column)
            free(minima)
            free(load_minima)
            raise MemoryError(f"scores of {rows} workers")
        self.score_column, score_column = score_column, self.score_column
        self.minima, minima = minima, self.minima
        self.load_minima, load_minima = load_minima, self.load_minima
        self.row_capacity = rows
        free(score_column)
        free(minima)
        free(load_minima)
        return 0

    cdef float score(
        self, run_ms, double wait_weight, double balance_ms, extra_ms, tuple terms
    ) except? -1.0:
        """Check the question and score all rows; the least score, +inf if no row is open to the task.

        Below the bounds no product or sum of finite columns overflows float32. NaN is in no bounds.
        """
        if not (0.0 <= wait_weight <= FACTOR_MAX and 0.0 <= balance_ms <= MS_MAX):
            raise KernelError(f"wait_weight {wait_weight!r} or balance_ms {balance_ms!r} is out of bounds")
        cdef Py_buffer classes, extras
        cdef float uniform_ms = 0.0
        memset(&classes, 0, sizeof(Py_buffer))
        memset(&extras, 0, sizeof(Py_buffer))
        try:
            if isinstance(run_ms, float):
                if not 0.0 <= <double>run_ms <= MS_MAX:
                    raise KernelError(f"run_ms {run_ms!r} is out of bounds")
                uniform_ms = <float><double>run_ms
            else:
                take_floats(run_ms, self.table.class_bound, &classes, "run_ms")
                if not within(<const float *>classes.buf, self.table.class_bound):
                    raise KernelError("a run_ms of a class is out of bounds")
            if extra_ms is not None:
                take_floats(extra_ms, self.blocks() * NEXUS_BLOCK_ROWS, &extras, "extra_ms")
            if self.row_capacity < self.table.row_capacity:
                self.fit()
            return self.score_with_terms(
                <const float *>classes.buf, <const float *>extras.buf, uniform_ms, <float>wait_weight,
                <float>balance_ms, terms
            )
        finally:
            PyBuffer_Release(&classes)
            PyBuffer_Release(&extras)

    cdef float score_with_terms(
        self, const float *class_ms, const float *extra_ms, float run_ms, float wait_weight, float balance_ms,
        tuple terms
    ) except? -1.0:
        """One pass, with the terms of single rows in their bias as long as it lasts."""
        cdef Columns *columns = &self.table.columns
        cdef Py_ssize_t count = len(terms), index
        cdef Py_ssize_t rows[TERMS_MAX]
        cdef float terms_ms[TERMS_MAX]
        cdef float former_ms[TERMS_MAX]
        if count > TERMS_MAX:
            raise KernelError(f"{count} terms of single rows are more than {TERMS_MAX}")
        for index in range(count):
            rows[index] = terms[index][0]
            self.table.require_live(rows[index])
            terms_ms[index] = <float>bounded(terms[index][1], -MS_MAX, MS_MAX, "term")
        for index in range(count):
            former_ms[index] = columns.bias_ms[rows[index]]
            columns.bias_ms[rows[index]] += terms_ms[index]
        cdef float least = nexus_score(
            columns.wait_ms, columns.factor, columns.bias_ms, columns.closed_ms, columns.load, columns.class_index,
            class_ms, self.table.class_bound, extra_ms, self.blocks(), run_ms, wait_weight, balance_ms,
            self.score_column, self.minima
        )
        for index in range(count - 1, -1, -1):
            columns.bias_ms[rows[index]] = former_ms[index]
        return least
