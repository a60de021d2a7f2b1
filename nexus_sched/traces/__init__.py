"""Records of real executions as input: `reader` reads them row by row. A leaf room."""

from nexus_sched.traces.reader import COLUMNS, ONE_TYPE, TraceRow, read_trace

__all__ = ["COLUMNS", "ONE_TYPE", "TraceRow", "read_trace"]
