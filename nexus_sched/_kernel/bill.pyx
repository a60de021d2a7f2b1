"""What a choice was based on, in bytes that are written down with it: csrc/nexus_bill.c over a `Scorer`.

Law: a bill explains the last `choose` of its scorer, so nothing may have changed the table or the arguments since then.
It changes nothing itself.
"""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset, strcmp

from nexus_sched._kernel.columns cimport MS_MAX, Columns, bounded
from nexus_sched._kernel.scorer cimport TERMS_MAX, Scorer, take_floats
from nexus_sched._kernel.worker_table cimport WorkerTable

from nexus_sched.errors import KernelError


cdef extern from "nexus_score.h" nogil:
    const Py_ssize_t NEXUS_BLOCK_ROWS

cdef extern from "nexus_bill.h" nogil:
    enum:
        NEXUS_BILL_ROWS_MAX
        NEXUS_BILL_BYTES_MAX
        NEXUS_FUNNEL_COUNTS
        NEXUS_FUNNEL_OPEN
        NEXUS_FUNNEL_NOBODY
    ctypedef struct nexus_bill_question:
        const float *wait_ms
        const float *factor
        const float *bias_ms
        const float *load
        const int32_t *class_index
        const float *class_ms
        const float *extra_ms
        const float *base_ms
        const int32_t *term_rows
        const float *terms_ms
        Py_ssize_t terms
        float run_ms
        float wait_weight
        float balance_ms
        float transfer_ms
        float margin_ms
    Py_ssize_t nexus_bill(
        const nexus_bill_question *question, const int32_t *rows, Py_ssize_t count, int last_closed,
        unsigned char *bill, float *promised_ms
    ) noexcept
    Py_ssize_t nexus_runners_up(
        const float *scores, const float *minima, Py_ssize_t blocks, Py_ssize_t chosen, Py_ssize_t wanted, int32_t *rows
    ) noexcept
    Py_ssize_t nexus_in_turn(
        const uint8_t *accepting, const float *extra_ms, Py_ssize_t rows, Py_ssize_t start
    ) noexcept
    void nexus_funnel(
        const uint8_t *standing, const uint8_t *forbidden, const float *closed_ms, const float *extra_ms,
        Py_ssize_t rows, int32_t *counts
    ) noexcept

    ctypedef struct nexus_left:
        int32_t lacking
        int32_t open
    nexus_left nexus_left_open(
        const uint8_t *standing, const uint8_t *forbidden, const float *closed_ms, const float *extra_ms,
        Py_ssize_t rows
    ) noexcept

ROWS_MAX = NEXUS_BILL_ROWS_MAX - 1  # of a bill, besides the one of round robin


def bill(
    Scorer scorer not None, Py_ssize_t chosen, Py_ssize_t top, double transfer_ms, base_ms, unsigned long long turn
):
    """The bill of the last choice, its workers, whom round robin would have taken, and what the others promised."""
    cdef WorkerTable table = scorer.table
    cdef Columns *columns = &table.columns
    if scorer.asked_run_ms is None:
        raise KernelError("there has been no choice since the scores were asked for")
    if not 1 <= top < NEXUS_BILL_ROWS_MAX:
        raise KernelError(f"a bill of {top} rows is not within [1, {NEXUS_BILL_ROWS_MAX - 1}]")
    table.require_live(chosen)
    cdef nexus_bill_question question
    cdef int32_t rows[NEXUS_BILL_ROWS_MAX]
    cdef int32_t term_rows[TERMS_MAX]
    cdef float terms_ms[TERMS_MAX]
    cdef unsigned char written[NEXUS_BILL_BYTES_MAX]
    cdef Py_buffer classes, extras, bases
    cdef Py_ssize_t count, index, whose
    cdef float promised_ms = 0.0
    memset(&classes, 0, sizeof(Py_buffer))
    memset(&extras, 0, sizeof(Py_buffer))
    memset(&bases, 0, sizeof(Py_buffer))
    question.wait_ms, question.factor, question.bias_ms = columns.wait_ms, columns.factor, columns.bias_ms
    question.load, question.class_index = columns.load, columns.class_index
    question.wait_weight, question.balance_ms = scorer.asked_wait_weight, scorer.asked_balance_ms
    question.margin_ms = scorer.asked_margin_ms
    question.transfer_ms = <float>bounded(transfer_ms, 0.0, MS_MAX, "transfer_ms")
    question.run_ms = 0.0
    question.terms = len(scorer.asked_terms)
    question.term_rows, question.terms_ms = term_rows, terms_ms
    for index in range(question.terms):
        term_rows[index] = scorer.asked_terms[index][0]
        terms_ms[index] = <float><double>scorer.asked_terms[index][1]
    try:
        if isinstance(scorer.asked_run_ms, float):
            question.run_ms = <float><double>scorer.asked_run_ms
        else:
            take_floats(scorer.asked_run_ms, table.class_bound, &classes, "run_ms")
        if scorer.asked_extra_ms is not None:
            take_floats(scorer.asked_extra_ms, table.row_count, &extras, "extra_ms")
        if base_ms is not None:
            take_floats(base_ms, table.row_count, &bases, "base_ms")
        question.class_ms, question.extra_ms = <const float *>classes.buf, <const float *>extras.buf
        question.base_ms = <const float *>bases.buf
        rows[0] = <int32_t>chosen
        count = 1 + nexus_runners_up(
            scorer.score_column, scorer.minima, scorer.blocks(), chosen, top - 1, rows + 1
        )
        whose = nexus_in_turn(columns.accepting, question.extra_ms, table.row_count, turn % table.row_count)
        index = 0
        while index < count and rows[index] != whose:
            index += 1
        if index == count and whose >= 0:
            rows[count] = <int32_t>whose
            count += 1
        index = nexus_bill(
            &question, rows, count, scorer.score_column[rows[count - 1]] == INFINITY, written, &promised_ms
        )
    finally:
        PyBuffer_Release(&classes)
        PyBuffer_Release(&extras)
        PyBuffer_Release(&bases)
    return (
        PyBytes_FromStringAndSize(<char *>written, index), names_of(table, rows, count),
        table.names[whose] if whose >= 0 else "", promised_ms
    )


cdef tuple names_of(WorkerTable table, const int32_t *rows, Py_ssize_t count):
    cdef tuple names = PyTuple_New(count)
    cdef Py_ssize_t index
    cdef object name
    for index in range(count):
        name = table.names[rows[index]]
        Py_INCREF(name)
        PyTuple_SET_ITEM(names, index, name)
    return names


def in_turn(WorkerTable table not None, extra_ms, unsigned long long turn):
    """Whom round robin would take: the first accepting worker from this turn on that `extra_ms` does not forbid."""
    cdef Py_buffer extras
    cdef Py_ssize_t row
    memset(&extras, 0, sizeof(Py_buffer))
    if table.row_count == 0:
        return ""
    try:
        if extra_ms is not None:
            take_floats(extra_ms, table.row_count, &extras, "extra_ms")
        row = nexus_in_turn(
            table.columns.accepting, <const float *>extras.buf, table.row_count, turn % table.row_count
        )
    finally:
        PyBuffer_Release(&extras)
    return table.names[row] if row >= 0 else ""


def funnel(WorkerTable table not None, standing not None, forbidden, extra_ms):
    """How many workers there are, how many are open to a task, and how many are not for which first reason."""
    cdef Py_ssize_t rows = (table.row_count + NEXUS_BLOCK_ROWS - 1) // NEXUS_BLOCK_ROWS * NEXUS_BLOCK_ROWS
    cdef int32_t counts[NEXUS_FUNNEL_COUNTS]
    cdef Py_buffer standings, forbids, extras
    memset(&standings, 0, sizeof(Py_buffer))
    memset(&forbids, 0, sizeof(Py_buffer))
    memset(&extras, 0, sizeof(Py_buffer))
    try:
        take_bytes(standing, rows, &standings, "standing")
        if forbidden is not None:
            take_bytes(forbidden, rows, &forbids, "forbidden")
        if extra_ms is not None:
            take_floats(extra_ms, rows, &extras, "extra_ms")
        nexus_funnel(
            <const uint8_t *>standings.buf, <const uint8_t *>forbids.buf, table.columns.closed_ms,
            <const float *>extras.buf, rows, counts
        )
    finally:
        PyBuffer_Release(&standings)
        PyBuffer_Release(&forbids)
        PyBuffer_Release(&extras)
    return (
        rows - counts[NEXUS_FUNNEL_NOBODY], counts[1], counts[2], counts[3], counts[4], counts[5], counts[6],
        counts[7], counts[8], counts[9], counts[10]
    )


def left_open(WorkerTable table not None, standing not None, forbidden, extra_ms, tuple former not None):
    """The funnel of the rows, where `former` is what it was without resources and for other bookings."""
    if len(former) != NEXUS_FUNNEL_COUNTS:
        raise KernelError(f"a funnel has {NEXUS_FUNNEL_COUNTS} counts, not {len(former)}")
    cdef Py_ssize_t rows = (table.row_count + NEXUS_BLOCK_ROWS - 1) // NEXUS_BLOCK_ROWS * NEXUS_BLOCK_ROWS
    cdef Py_buffer standings, forbids, extras
    cdef nexus_left left
    memset(&standings, 0, sizeof(Py_buffer))
    memset(&forbids, 0, sizeof(Py_buffer))
    memset(&extras, 0, sizeof(Py_buffer))
    try:
        take_bytes(standing, rows, &standings, "standing")
        if forbidden is not None:
            take_bytes(forbidden, rows, &forbids, "forbidden")
        if extra_ms is not None:
            take_floats(extra_ms, rows, &extras, "extra_ms")
        left = nexus_left_open(
            <const uint8_t *>standings.buf, <const uint8_t *>forbids.buf, table.columns.closed_ms,
            <const float *>extras.buf, rows
        )
    finally:
        PyBuffer_Release(&standings)
        PyBuffer_Release(&forbids)
        PyBuffer_Release(&extras)
    return (
        former[0], left.open, former[2], former[3], left.lacking, former[5], former[6], former[7], former[8],
        <Py_ssize_t>former[1] + <Py_ssize_t>former[9] - left.open - left.lacking, former[10]
    )


cdef int take_bytes(source, Py_ssize_t count, Py_buffer *view, str what) except -1:
    """Hold a buffer of at least `count` unsigned bytes; the caller gives it back."""
    PyObject_GetBuffer(source, view, PyBUF_ND | PyBUF_FORMAT)
    if strcmp(view.format, b"B") != 0 or view.len < count:
        raise KernelError(f"{what} must be a buffer of at least {count} unsigned bytes")
    return 0
