"""Spans of OpenTelemetry for what is published, called and handled: `pip install tieline[otel]`.

from tieline.otel import instrument

instrument(get_event_system())

Names and attributes are those of its conventions for messaging. The trace travels in the headers `traceparent` and
`tracestate` (and whatever else the process's propagators use), across languages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tieline.calls.streaming import NO_STREAMS
from tieline.context import Event
from tieline.errors import ExpiredError, NoRespondersError, TielineError
from tieline.middleware import HandleNext, Message, Middleware, PublishNext
from tieline.publisher import Receipt
from tieline.tracing import TRACEPARENT, TRACESTATE, fits
from tieline.version import CLIENT

if TYPE_CHECKING:
    from tieline.events import EventSystem

_W3C = TraceContextTextMapPropagator()
_VERSION = CLIENT.partition("/")[2]


def instrument(events: EventSystem, tracer_provider: TracerProvider | None = None) -> None:
    """Have an event system make spans from now on, inside of the middleware it has.

    Args:
        events: the system; instrument it once.
        tracer_provider: makes the spans; the process's own unless given.

    """
    events.use(tracing(tracer_provider))


def tracing(tracer_provider: TracerProvider | None = None) -> Middleware:
    """Middleware that makes spans: `EventSystem(middleware=[tracing()])`.

    Args:
        tracer_provider: makes the spans; the process's own unless given.

    """
    return _Tracing(trace.get_tracer("tieline", _VERSION, tracer_provider))


class _Tracing(Middleware):
    """`send` for what goes out, a CLIENT's if it waits for a reply; `process` for what is handled."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def publish(self, message: Message, call_next: PublishNext) -> Any:
        """See `Middleware.publish`. A `traceparent` that was given is the span's parent, and travels as it is."""
        given = TRACEPARENT in message.headers
        span = self._tracer.start_span(
            f"send {message.topic}",
            _extracted(message.headers) if given else None,
            SpanKind.CLIENT if message.is_request else SpanKind.PRODUCER,
            _attributes("send", message.topic),
        )
        with _Running(span) as running:
            if not given:
                _inject(message.headers)
            result = await call_next(message)
            if isinstance(result, Receipt):
                span.set_attributes(_identity(result.id, result.correlation_id))
            return running.until_read(result)

    async def handle(self, event: Event, call_next: HandleNext) -> Any:
        """See `Middleware.handle`. The span of a durable event is also linked to that of its publisher."""
        attributes = {**_attributes("process", event.topic), **_identity(event.id, event.correlation_id)}
        attributes["messaging.message.body.size"] = len(event.envelope.data)
        parent, links = _extracted(event.headers), list[Link]()
        if event.delivery is not None:
            links = _links([event])
            attributes["messaging.consumer.group.name"] = event.delivery.group
            attributes["tieline.attempt"] = event.delivery.attempt
        kind = SpanKind.SERVER if event.is_request else SpanKind.CONSUMER
        span = self._tracer.start_span(f"process {event.topic}", parent, kind, attributes, links)
        with _Running(span, unless=() if event.is_request else (NoRespondersError, ExpiredError)) as running:
            return running.until_read(await call_next())

    async def handle_batch(self, events: Sequence[Event], call_next: HandleNext) -> Any:
        """See `Middleware.handle_batch`. The span is linked to those of all publishers."""
        topics = {event.topic for event in events}
        topic = topics.pop() if len(topics) == 1 else ""
        attributes = {**_attributes("process", topic), "messaging.batch.message_count": len(events)}
        name = f"process {topic}".rstrip()
        span = self._tracer.start_span(name, Context(), SpanKind.CONSUMER, attributes, _links(events))
        with _Running(span):
            return await call_next()


class _Running:
    """A span that is the current one in a `with`, and ends with it, unless something is still to be read."""

    def __init__(self, span: Span, unless: tuple[type[Exception], ...] = ()) -> None:
        self._span = span
        self._unless = unless
        self._token = attach(trace.set_span_in_context(span))
        self._goes_on = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        detach(self._token)
        if error is not None and not isinstance(error, self._unless):
            _record(self._span, error)
        if error is not None or not self._goes_on:
            self._span.end()

    def until_read(self, result: Any) -> Any:
        """The result; if it is a stream, it ends the span when it ends."""
        if type(result) in NO_STREAMS or not hasattr(result, "__aiter__"):
            return result
        self._goes_on = True
        return _Items(self._span, result)


class _Items:
    """What is streamed, read inside of a span."""

    def __init__(self, span: Span, items: AsyncIterator[Any]) -> None:
        self._span = span
        self._items = aiter(items)
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        token = attach(trace.set_span_in_context(self._span))
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            self._end()
            raise
        except BaseException as error:
            _record(self._span, error)
            self._end()
            raise
        finally:
            detach(token)

    async def aclose(self) -> None:
        close: Callable[[], Any] | None = getattr(self._items, "aclose", None)
        try:
            if close is not None:
                await close()
        finally:
            self._end()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._span.end()


def _attributes(operation: str, topic: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": "tieline",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
    if topic:
        attributes["messaging.destination.name"] = topic
    return attributes


def _identity(event_id: str, correlation_id: str) -> dict[str, str]:
    return {"messaging.message.id": event_id, "messaging.message.conversation_id": correlation_id}


def _record(span: Span, error: BaseException) -> None:
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        span.set_attribute("error.type", "CANCELLED")
        span.set_status(Status(StatusCode.ERROR, "cancelled"))
        return
    span.record_exception(error)
    span.set_attribute("error.type", error.code if isinstance(error, TielineError) else type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def _extracted(headers: Mapping[str, str]) -> Context:
    """The context that travelled; nothing of this process, so that a local handler has the same as one elsewhere."""
    context = propagate.extract(headers, Context())
    if trace.get_current_span(context).get_span_context().is_valid:
        return context
    return _W3C.extract(headers, context)


def _links(events: Sequence[Event]) -> list[Link]:
    contexts = (trace.get_current_span(_extracted(event.headers)).get_span_context() for event in events)
    return [Link(context) for context in contexts if context.is_valid]


def _inject(headers: dict[str, str]) -> None:
    """Add the current context, as far as it fits; what the publisher gave stays."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if TRACEPARENT not in carrier:  # another process need not have this one's propagators
        _W3C.inject(carrier)
    added = {name: value for name, value in carrier.items() if name not in headers}
    if added and not fits({**headers, **added}):
        added = {name: value for name, value in added.items() if name in (TRACEPARENT, TRACESTATE)}
    if fits({**headers, **added}):
        headers.update(added)
