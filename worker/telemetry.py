"""Log context and metric names. Log events are constant strings plus fields; JSON to standard error."""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog

log = cast(structlog.stdlib.BoundLogger, structlog.get_logger("shelfguard"))


def configure_logging(level: str = "INFO", *, process: str = "shelfguard") -> None:
    """JSON lines on standard error, with the process's name in each; standard output stays the program's own."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        # The stream is looked up at each line: Celery and test runners swap it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(process=process)
