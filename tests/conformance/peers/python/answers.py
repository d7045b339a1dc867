"""What became of a command, as the program saw it."""

from __future__ import annotations

import asyncio

from tests.conformance._contract.peer_pb2 import Failure
from tests.conformance.peers.python.values import from_native
from tieline import TielineError


def failure(error: BaseException) -> Failure:
    """All that can be known of an error."""
    name = type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        return Failure(class_name=name, cancelled=True)
    if not isinstance(error, TielineError):
        return Failure(class_name=name, message=str(error))
    return Failure(
        code=error.code,
        message=error.message,
        details=from_native(error.details),
        outcome=error.outcome,
        type=error.type,
        retry_after_ms=None if error.retry_after is None else error.retry_after * 1_000,
        from_wire=error.from_wire,
        retryable=error.retryable,
        class_name=name,
    )
