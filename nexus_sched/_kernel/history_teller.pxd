"""Contract of the teller: what a history table knows, as the objects of a predictor."""

cimport cython

from nexus_sched._kernel.history_table cimport HistoryTable


@cython.final
cdef class HistoryTeller:
    cdef HistoryTable table  # that is asked
    cdef object make  # callable of the eleven fields of a prediction
    cdef str basis  # of every answer; None: the expert that spoke
    cdef double share  # what an answer keeps of its confidence
    cdef double alike_half  # effective runs at which confidence is half of the hit rate
    cdef str predictor  # name
    cdef object version  # of the predictor
