"""Log lines: structlog on standard error, JSON or for people, as `[logging]` says.

Law: a traceback shows where a fault was, never the variables there: those may be payloads and tokens.
"""

from __future__ import annotations

import logging
import sys

import structlog

from nexus_sched.config.schema import LoggingSection

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logs(section: LoggingSection) -> None:
    """Configure structlog for this process. Call once, before anything logs."""
    faults: structlog.typing.Processor = structlog.dev.set_exc_info
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    if section.format == "json":
        without_variables = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        faults = structlog.processors.ExceptionRenderer(without_variables)
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            faults,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[section.level]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the one of the moment: tests replace it
    )
