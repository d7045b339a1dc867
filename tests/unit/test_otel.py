"""Spans of what is published, called and handled, made by OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.suite.seen import Seen, until
from tieline import Event, EventSystem, HandlerError, Item, RetryPolicy, blocking, testing
from tieline.otel import instrument, tracing
from tieline.tracing import is_traceparent

AT_ONCE = RetryPolicy(max_attempts=2, backoff=0.001, jitter=False)
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """What was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def one(self, name: str) -> ReadableSpan:
        """Wait for the only one of this name."""
        await until(lambda: self.named(name), say=lambda: str([s.name for s in self.exporter.get_finished_spans()]))
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def broker() -> AsyncIterator[testing.Broker]:
    async with testing.Broker(real_time=True) as broker:
        yield broker


@pytest.fixture(params=[False, True], ids=["here", "elsewhere"])
async def shop(request: pytest.FixtureRequest, broker: testing.Broker, spans: Spans) -> testing.System:
    return broker.system("shop", remote=request.param, middleware=[tracing(spans.provider)])


def _ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def _is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and (span.parent.trace_id, span.parent.span_id) == _ids(parent)


def _linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


async def test_an_event_and_what_its_handler_does_are_one_trace(shop: testing.System, spans: Spans) -> None:
    async def packed(data: Any) -> None: ...

    async def placed(data: Any) -> None:
        with spans.tracer.start_as_current_span("pack"):
            await shop.publish("order.packed", data)

    shop.subscribe("order.packed", packed)
    shop.subscribe("order.placed", placed)
    with spans.tracer.start_as_current_span("click"):
        receipt = await shop.publish("order.placed", {"id": 1})
    last = await spans.one("process order.packed")
    chain = [spans.named(name)[0] for name in ("click", "send order.placed", "process order.placed", "pack")]
    chain += [spans.named("send order.packed")[0], last]
    assert all(_is_child(span, parent) for parent, span in itertools.pairwise(chain))
    send, process = chain[1:3]
    assert (send.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    expected = {
        "messaging.system": "tieline",
        "messaging.destination.name": "order.placed",
        "messaging.message.id": receipt.id,
        "messaging.message.conversation_id": receipt.correlation_id,
    }
    for span, operation in ((send, "send"), (process, "process")):
        attributes = dict(span.attributes or {})
        attributes.pop("messaging.message.body.size", None)
        named = {"messaging.operation.name": operation, "messaging.operation.type": operation}
        assert attributes == {**expected, **named}


async def test_a_call_is_a_client_and_a_server(shop: testing.System, spans: Spans) -> None:
    async def add(data: list[int]) -> int:
        return sum(data)

    shop.subscribe("sum", add)
    assert await shop.publish_and_wait("sum", [1, 2]) == 3
    client, server = spans.named("send sum")[0], spans.named("process sum")[0]
    assert (client.kind, server.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert _is_child(server, client)
    assert client.status.status_code is server.status.status_code is StatusCode.UNSET


async def test_errors_are_recorded_on_both_sides(shop: testing.System, spans: Spans) -> None:
    async def fail(data: Any) -> None:
        raise LookupError("no such order")

    shop.subscribe("order.find", fail)
    with pytest.raises(HandlerError):
        await shop.publish_and_wait("order.find")
    client, server = spans.named("send order.find")[0], spans.named("process order.find")[0]
    for span, kind in ((client, "HANDLER_ERROR"), (server, "LookupError")):
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == kind
        assert [event.name for event in span.events] == ["exception"]


async def test_what_a_filter_refuses_is_no_error(broker: testing.Broker, spans: Spans) -> None:
    shop = broker.system("shop", middleware=[tracing(spans.provider)])

    def none(data: Any) -> bool:
        return False

    async def never(data: Any) -> None: ...

    shop.subscribe("order.placed", never, filter=none)
    await shop.publish("order.placed", wait_local=True)
    assert (await spans.one("process order.placed")).status.status_code is StatusCode.UNSET


async def test_a_given_traceparent_travels_as_it_is(shop: testing.System, spans: Spans) -> None:
    seen = Seen()

    async def note(data: Any, event: Event) -> None:
        seen.append(dict(event.headers))

    shop.subscribe("order.placed", note)
    await shop.publish("order.placed", headers={"traceparent": GIVEN, "own": "x"})
    await seen.reach(1)
    assert seen == [{"traceparent": GIVEN, "own": "x"}]
    for span in (await spans.one("send order.placed"), await spans.one("process order.placed")):
        assert span.parent is not None
        assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == GIVEN[3:52]


async def test_a_stream_is_a_span_until_its_end_on_both_sides(shop: testing.System, spans: Spans) -> None:
    async def count(data: int) -> AsyncGenerator[int, None]:
        for number in range(data):
            with spans.tracer.start_as_current_span("step"):
                yield number

    shop.subscribe("count", count)
    items = []
    async for item in shop.publish_and_stream("count", 3):
        items.append(item)
        assert spans.named("send count") == []
    assert items == [0, 1, 2]
    client, server = await spans.one("send count"), await spans.one("process count")
    assert _is_child(server, client)
    assert [_is_child(step, server) for step in spans.named("step")] == [True] * 3


async def test_a_stream_that_is_left_early_or_never_read_ends_its_spans(shop: testing.System, spans: Spans) -> None:
    async def endless(data: Any) -> AsyncGenerator[int, None]:
        while True:
            yield 1

    shop.subscribe("endless", endless)
    async with shop.publish_and_stream("endless") as stream:
        await anext(stream)
    await spans.one("send endless")
    await spans.one("process endless")


async def test_a_cancelled_call_ends_its_spans(shop: testing.System, spans: Spans) -> None:
    begun = asyncio.Event()

    async def slow(data: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    shop.subscribe("slow", slow)
    call = asyncio.ensure_future(shop.publish_and_wait("slow"))
    await begun.wait()
    call.cancel()
    client, server = await spans.one("send slow"), await spans.one("process slow")
    assert [(span.attributes or {})["error.type"] for span in (client, server)] == ["CANCELLED"] * 2


async def test_each_attempt_at_a_durable_event_is_linked_to_its_publisher(broker: testing.Broker, spans: Spans) -> None:
    shop = broker.system("shop", middleware=[tracing(spans.provider)])

    async def fail(data: Any) -> None:
        raise LookupError

    shop.subscribe("order.placed", fail, durable=True, retry=AT_ONCE, on_poison="dead_letter")
    await shop.publish("order.placed", 1, key="k")
    while not (letters := await shop.dead_letters.list("order.placed")):
        await asyncio.sleep(0.01)
    await shop.dead_letters.redrive("order.placed", [letters[0].id])
    await until(lambda: len(spans.named("process order.placed")) == 4)
    (send,) = spans.named("send order.placed")
    handled = spans.named("process order.placed")
    assert all(_linked(span) == [_ids(send)] and _is_child(span, send) for span in handled)
    assert [(span.attributes or {})["tieline.attempt"] for span in handled] == [1, 2, 1, 2]
    assert {(span.attributes or {})["messaging.consumer.group.name"] for span in handled} == {"default"}
    assert all((span.attributes or {})["error.type"] == "LookupError" for span in handled)


@pytest.mark.parametrize("durable", [False, True], ids=["live", "durable"])
async def test_a_batch_is_linked_to_all_who_published(broker: testing.Broker, spans: Spans, durable: bool) -> None:
    shop = broker.system("shop", middleware=[tracing(spans.provider)])
    inside = Seen()

    async def take(data: list[int]) -> None:
        inside.append(data)
        await shop.publish("order.counted", len(data))

    shop.subscribe("order.placed", take, batch=(3, 5.0), durable=durable)
    if durable:
        await shop.publish_many("order.placed", [Item(n) for n in range(3)])
    else:
        for number in range(3):
            await shop.publish("order.placed", number)
    span = await spans.one("process order.placed")
    sends = spans.named("send order.placed")
    assert sorted(inside[0]) == [0, 1, 2]
    assert sorted(_linked(span)) == sorted(_ids(send) for send in sends)
    assert (span.attributes or {})["messaging.batch.message_count"] == 3
    assert span.parent is None
    assert _is_child(await spans.one("send order.counted"), span)


async def test_one_question_to_many_is_one_trace(broker: testing.Broker, spans: Spans) -> None:
    systems = [broker.system(f"shop{n}", middleware=[tracing(spans.provider)]) for n in range(3)]

    async def price(data: Any) -> int:
        return 1

    for system in systems:
        system.subscribe("price", price)
    gathered = await systems[0].publish_and_gather("price")
    assert len(gathered.values) == 3
    (client,) = spans.named("send price")
    assert [_is_child(span, client) for span in spans.named("process price")] == [True] * 3


async def test_a_running_system_can_be_instrumented(spans: Spans) -> None:
    async with EventSystem("memory://") as events:
        events.subscribe("order.placed", lambda data: None)
        events.subscribe("order.paid", lambda data: None, batch=(1, 1.0))
        await events.publish("order.placed", wait_local=True)
        instrument(events, spans.provider)
        await events.publish("order.placed", wait_local=True)
        await events.publish("order.paid", wait_local=True)
        await spans.one("process order.paid")
    assert len(spans.named("process order.placed")) == len(spans.named("send order.placed")) == 1


async def test_what_does_not_fit_is_left_out_and_disturbs_nobody(spans: Spans) -> None:
    async with EventSystem("memory://", middleware=[tracing(spans.provider)]) as events:
        seen: list[Sequence[str]] = []
        events.subscribe("order.placed", lambda data, event: seen.append(sorted(event.headers)))
        await events.publish("order.placed", headers={f"h{n}": "" for n in range(64)}, wait_local=True)
        await events.publish("order.placed", headers={"big": "x" * 8_000}, wait_local=True)
    assert "traceparent" not in seen[0]
    assert seen[1] == ["big", "traceparent"]


async def test_without_an_sdk_the_trace_that_came_travels_on() -> None:
    async with EventSystem("memory://", middleware=[tracing()]) as events:
        seen = Seen()

        async def placed(data: Any) -> None:
            await events.publish("order.packed")

        events.subscribe("order.placed", placed)
        events.subscribe("order.packed", lambda data, event: seen.append(event.headers.get("traceparent")))
        await events.publish("order.placed", headers={"traceparent": GIVEN}, wait_local=True)
        await seen.reach(1)
    assert is_traceparent(seen[0])
    assert seen[0][3:35] == GIVEN[3:35]


def test_programs_without_await_are_of_the_trace_too(spans: Spans) -> None:
    with blocking.EventSystem("memory://", middleware=[tracing(spans.provider)]) as events:

        def add(data: list[int]) -> int:  # in a thread
            with spans.tracer.start_as_current_span("add"):
                return sum(data)

        events.subscribe("sum", add)
        with spans.tracer.start_as_current_span("click"):
            assert events.publish_and_wait("sum", [1, 2]) == 3
    chain = [spans.named(name)[0] for name in ("click", "send sum", "process sum", "add")]
    assert all(_is_child(span, parent) for parent, span in itertools.pairwise(chain))
