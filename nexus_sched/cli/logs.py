"""Log lines: structlog on standard error, JSON or for people, as `[logging]` says."""

from __future__ import annotations

import logging
import sys

import structlog

from nexus_sched.config.schema import LoggingSection

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up_logs(section: LoggingSection) -> None:
    """Configure structlog for this process. Call once, before anything logs."""
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if section.format == "json":
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.dict_tracebacks if section.format == "json" else structlog.dev.set_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[section.level]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),  # the one of the moment: tests replace it
    )
