"""What a worker tells its operator: changes of its state on stderr, never a line per task.

structlog is loaded with the first line, so that a worker with `level="warning"` that has nothing to
report starts without it.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from nexus_sched.errors import InvalidInput
from nexus_sched.model.printable import one_line

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Logger(Protocol):
    def log(self, level: int, event: str, **fields: object) -> object: ...


class Log:
    """Lines of one worker, each an event with fields."""

    def __init__(self, level: str, worker_id: str, *, as_json: bool = False) -> None:
        if level not in LEVELS:
            raise InvalidInput(f"log level is {level!r}, allowed are {', '.join(LEVELS)}")
        self._threshold = LEVELS[level]
        self._worker_id = worker_id
        self._as_json = as_json
        self._logger: _Logger | None = None

    def info(self, event: str, **fields: object) -> None:
        """Something changed as it should."""
        self._write(LEVELS["info"], event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something is wrong that the worker goes on to deal with."""
        self._write(LEVELS["warning"], event, fields)

    def error(self, event: str, **fields: object) -> None:
        """The worker gives up."""
        self._write(LEVELS["error"], event, fields)

    def _write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self._threshold:
            return
        if self._logger is None:
            self._logger = _open(self._worker_id, self._as_json)
        self._logger.log(level, event, **fields)


def _open(worker_id: str, as_json: bool) -> _Logger:
    import structlog

    harmless: tuple[Any, ...] = (_one_line,)
    render: Any = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    if as_json:
        render = structlog.processors.JSONRenderer()
        harmless = ()  # JSON escapes by itself
    logger: _Logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *harmless,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        worker=worker_id,
    )
    return logger


def _one_line(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Every field on the line of its event, whatever others have written into it."""
    return {name: one_line(value) if isinstance(value, str) else value for name, value in event.items()}
