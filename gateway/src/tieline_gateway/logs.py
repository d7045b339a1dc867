"""What the gateway logs, for people or for programs. Everything goes through `logging`, to stderr."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

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
    if form == "json":
        from tieline_gateway.json_lines import formatter  # structlog takes a while to load, and text does without

        handler.setFormatter(formatter())
    else:
        handler.setFormatter(_TEXT)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
