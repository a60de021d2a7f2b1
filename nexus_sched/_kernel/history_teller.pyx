"""What a history table knows, told as a prediction in one step.

Law: a teller reads its table and computes nothing but the confidence. Every prediction passes here, so no tuple is
built that would be taken apart at once.
"""

cimport cython
from libc.stdint cimport int64_t

from nexus_sched._kernel.history_table cimport HistoryTable, Told

from nexus_sched._kernel.history_table import EXPERT_NAMES as _names


cdef tuple NAMES = _names


@cython.final
cdef class HistoryTeller:
    """Asks one table and makes predictions. The `.pyi` tells of what."""

    def __cinit__(
        self,
        HistoryTable table not None,
        make not None,
        str predictor not None,
        version,
        double alike_half,
        double share=1.0,
        str basis=None,
    ):
        self.table = table
        self.make = make
        self.predictor = predictor
        self.version = version
        self.alike_half = alike_half
        self.share = share
        self.basis = basis

    def tell(
        self,
        str task_type not None,
        double payload_bytes,
        str worker_class not None,
        str worker not None,
        int64_t samples_min=0,
        double hint_ms=0.0,
        double hint_weight=0.0,
    ):
        """A prediction, `None` without data."""
        cdef Told told
        cdef str basis = self.basis
        if not self.table.ask(task_type, payload_bytes, worker_class, worker, hint_ms, hint_weight, &told):
            return None
        if told.samples < samples_min:
            return None
        if basis is None:
            basis = <str>NAMES[told.expert] if told.samples else "hint"
        return self.make(
            told.ms[0], told.ms[1], told.ms[3], told.ms[5],
            self.share * told.hit_rate * told.alike / (told.alike + self.alike_half),
            basis, told.samples, self.predictor, self.version, told.ms[2], told.ms[4],
        )
