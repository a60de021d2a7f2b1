"""Log lines: structlog on standard error, JSON or for people, as `[logging]` says.

Laws
* A traceback shows where a fault was, never the variables there: those may be payloads and tokens.
* What others have written stays within its line and commands no terminal.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from nexus_sched.config.schema import LoggingSection
from nexus_sched.model.printable import one_line, printable

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logs(section: LoggingSection) -> None:
    """Configure structlog for this process. Call once, before anything logs."""
    faults: structlog.typing.Processor = structlog.dev.set_exc_info
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=_traceback
    )
    harmless: tuple[structlog.typing.Processor, ...] = (_one_line,)
    if section.format == "json":
        without_variables = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        faults = structlog.processors.ExceptionRenderer(without_variables)
        renderer = structlog.processors.JSONRenderer()
        harmless = ()  # JSON escapes by itself
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            faults,
            *harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[section.level]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the one of the moment: tests replace it
    )


def _one_line(_: object, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Every field on the line of its event."""
    return {one_line(name): one_line(value) if isinstance(value, str) else value for name, value in event.items()}


def _traceback(out: TextIO, fault: structlog.typing.ExcInfo) -> None:
    written = io.StringIO()
    structlog.dev.plain_traceback(written, fault)
    out.write(printable(written.getvalue()))
