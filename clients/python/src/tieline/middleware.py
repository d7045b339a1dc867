"""Code around every publish and every handling: logging, metrics, authentication, validation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tieline.context import Event
from tieline.errors import InvalidArgumentError


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
    """Override some of the methods; any other object that has one of them will do.

    What is raised is raised to the publisher, or is the handler's failure.
    """

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        """Around a publish (returns its `Receipt`) or a call (returns the reply)."""
        return await call_next(message)

    async def handle(self, event: Event, call_next: HandleNext) -> Any:
        """Around a handler; returns the reply. `event.data` is the payload, `event.set_data` replaces it."""
        return await call_next()

    async def handle_batch(self, events: Sequence[Event], call_next: HandleNext) -> Any:
        """Around a handler that takes lists, with all events that are in its list; it passes no `handle`."""
        return await call_next()


METHODS = ("publish", "handle", "handle_batch")


def check_chain(middleware: Sequence[Middleware]) -> list[Middleware]:
    """The chain, as a list.

    Raises:
        InvalidArgumentError: it is none, or one of it has none of the methods.

    """
    if not isinstance(middleware, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"middleware is a list of objects, the first one outermost, not {middleware!r:.80}")
    for each in middleware:
        if isinstance(each, type) or not any(_has(each, method) for method in METHODS):
            raise InvalidArgumentError(
                "middleware is a list of objects with a method publish(message, call_next), handle(event, call_next) "
                f"or both, or handle_batch(events, call_next); {each!r:.80} is none"
            )
    return list(middleware)


def that_have(method: str, chain: Sequence[Middleware]) -> list[Middleware]:
    """Those of a chain that have this method."""
    return [each for each in chain if _has(each, method)]


def _has(each: object, method: str) -> bool:
    return callable(getattr(each, method, None))


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


async def handle_batch_through(chain: Sequence[Middleware], events: Sequence[Event], last: HandleNext) -> Any:
    """Run a handler that takes lists through the chain, the first one outermost."""
    call: HandleNext = last
    for middleware in reversed(chain):
        call = partial(middleware.handle_batch, events, call)
    return await call()


async def _publish(middleware: Middleware, call_next: PublishNext, message: Message) -> Any:
    return await middleware.publish(message, call_next)
