"""Lines of the log as JSON."""

from __future__ import annotations

import logging

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tieline.context import current_event


def formatter() -> logging.Formatter:
    """One JSON object a line, as `begin_logging` says."""
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
