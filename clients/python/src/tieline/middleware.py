"""Code around every publish and every handling: logging, metrics, authentication, validation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tieline.context import Event


@dataclass(slots=True)
class Message:
    """What is about to be published; middleware may change `data` and `headers`."""

    topic: str
    data: Any
    headers: dict[str, str] = field(default_factory=dict[str, str])
    is_request: bool = False


PublishNext = Callable[[Message], Awaitable[Any]]
HandleNext = Callable[[], Awaitable[Any]]


class Middleware:
    """Override one or both methods. What is raised is raised to the publisher, or is the handler's failure.

    A batch is not handled by one event: it passes no `handle`.
    """

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        """Around a publish (returns its `Receipt`) or a call (returns the reply)."""
        return await call_next(message)

    async def handle(self, event: Event, call_next: HandleNext) -> Any:
        """Around a handler; returns the reply. `event.data` is the payload, `event.set_data` replaces it."""
        return await call_next()


async def publish_through(chain: Sequence[Middleware], message: Message, last: PublishNext) -> Any:
    """Run a publish through the chain, the first one outermost."""
    call: PublishNext = last
    for middleware in reversed(chain):
        call = partial(_publish, middleware, call)
    return await call(message)


async def handle_through(chain: Sequence[Middleware], event: Event, last: HandleNext) -> Any:
    """Run a handler through the chain, the first one outermost."""
    call: HandleNext = last
    for middleware in reversed(chain):
        call = partial(middleware.handle, event, call)
    return await call()


async def _publish(middleware: Middleware, call_next: PublishNext, message: Message) -> Any:
    return await middleware.publish(message, call_next)
