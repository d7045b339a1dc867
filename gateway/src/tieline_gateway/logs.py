"""What the gateway logs, for people or for programs. Everything goes through `logging`, to stderr."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tieline.context import current_event

_TEXT = logging.Formatter("%(levelname)s %(name)s: %(message)s")
_QUIET = ("httpx", "httpcore", "asyncio", "uvicorn")


def begin_logging(form: str, *, verbose: bool = False, to: TextIO | None = None) -> None:
    """Log to stderr from now on.

    Args:
        form: "text", or "json": one object a line with time (ISO 8601, UTC), level, logger, event, what the line's
            `extra` says, and the correlation_id, topic and id of the event that is being handled, if any.
        verbose: also what is of interest only while looking for a fault.
        to: elsewhere than stderr.

    """
    handler = logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(_json() if form == "json" else _TEXT)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _json() -> logging.Formatter:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _of_the_event,
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


def _of_the_event(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """Name the event whose handling led to this line."""
    event = current_event()
    if event is not None:
        entry.setdefault("correlation_id", event.correlation_id)
        entry.setdefault("topic", event.topic)
        entry.setdefault("id", event.id)
    return entry
