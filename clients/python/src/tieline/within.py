"""What the broker itself is asked for, within a time: a broker that says nothing is no reason to be late."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from tieline.clock import Clock
from tieline.errors import CallTimeoutError, Outcome, TielineError

T = TypeVar("T")


async def in_time(seconds: float, answer: Awaitable[T], clock: Clock) -> T:
    """The answer.

    Raises:
        CallTimeoutError: it took longer.

    """
    try:
        async with clock.timeout(max(0.0, seconds)):
            return await answer
    except TielineError:
        raise
    except TimeoutError:
        message = "the broker did not answer in time; it may be frozen or overloaded"
        raise CallTimeoutError(message, outcome=Outcome.NOT_DELIVERED) from None
