"""What a handler yields, on its way to the reader."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tieline.delivery import Delivery

log = logging.getLogger("tieline")

NO_STREAMS = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple})
"""Types of which no value is to be iterated instead of sent."""

_END = object()
_UNBROKEN = 64


async def send_all(delivery: Delivery, items: AsyncIterator[Any]) -> None:
    """Send item by item as the reader has room, until the end or until nobody reads; an event's items are dropped."""
    flow, outlet, dropped = delivery.flow, delivery.outlet, 0
    try:
        async for item in items:
            if delivery.stopped:  # and the handler went on all the same
                raise asyncio.CancelledError
            if flow is not None:
                if not flow.open:
                    await flow.room()
                outlet.item(delivery, item)
                continue
            dropped += 1
            if not dropped % _UNBROKEN:  # nothing else would let the loop turn
                await asyncio.sleep(0)
        outlet.ended(delivery)
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


def from_thread(
    make: Callable[[], Generator[Any, None, None]], submit: Callable[[Callable[[], Any]], Future[Any]]
) -> AsyncGenerator[Any, None]:
    """A synchronous generator as an asynchronous one; each step is submitted to a thread, all in one context."""
    context = copy_context()

    async def items() -> AsyncGenerator[Any, None]:
        generator, step = make(), None
        close = functools.partial(context.run, generator.close)
        try:
            while True:
                step = submit(functools.partial(context.run, next, generator, _END))
                item = await asyncio.wrap_future(step)
                if item is _END:
                    return
                yield item
        finally:
            if step is not None and not step.done():  # cancelled in the middle of a step, which must end first
                at_the_end = functools.partial(submit, functools.partial(_unheard, close))
                step.add_done_callback(lambda _: at_the_end())  # called here if it has ended just now
            else:
                await asyncio.wrap_future(submit(close))

    return items()


def _unheard(close: Callable[[], None]) -> None:
    """Run what a generator has to do at its end, where nobody waits for it any more."""
    try:
        close()
    except BaseException:
        log.exception("a handler that streams raised when it was closed")
