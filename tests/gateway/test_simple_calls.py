"""What a program with plain stubs gets: replies, receipts, and errors with details."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
import msgpack
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

from tests.gateway.plain_callers import PlainStub
from tests.gateway.up import Client, Up
from tests.suite.seen import Seen, until
from tieline import Event, EventSystem
from tieline._contract import gateway_pb2 as wire
from tieline.errors import HandlerError, NotFoundError, UnavailableError

JSON = "application/json"


class Told(NamedTuple):
    """What a failed call said."""

    status: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    retry_ms: int | None
    message: str


async def failure(call: Any) -> Told:
    """Await a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None, caught.value
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "tieline"
    waits = len(status.details) > 1 and status.details[1].Unpack(retry)
    delay = retry.retry_delay.ToMilliseconds() if waits else None
    return Told(caught.value.code(), info.reason, dict(info.metadata), delay, str(caught.value.details()))


def call(topic: str, data: Any = None, **fields: Any) -> wire.PublishAndWaitRequest:
    """A request in MessagePack."""
    return wire.PublishAndWaitRequest(topic=topic, data=msgpack.packb(data), **fields)


async def test_a_json_request_is_answered_in_json(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda numbers: {"total": sum(numbers)}).ready()
    request = wire.PublishAndWaitRequest(topic=topic, data=b"[1, 2, 3]", content_type=JSON)
    reply = await client.stub.PublishAndWait(request, timeout=5)
    assert (json.loads(reply.data), reply.content_type) == ({"total": 6}, JSON)


async def test_a_messagepack_request_is_answered_in_messagepack(
    client: Client, events: EventSystem, topic: str
) -> None:
    await events.subscribe(topic, lambda numbers: numbers[::-1]).ready()
    reply = await client.stub.PublishAndWait(call(topic, [1, 2, 3]), timeout=5)
    assert (msgpack.unpackb(reply.data), reply.content_type) == ([3, 2, 1], "")


async def test_a_request_carries_what_the_program_said(client: Client, events: EventSystem, topic: str) -> None:
    def describe(data: Any, event: Event) -> list[Any]:
        return [dict(event.headers), event.schema_version, event.correlation_id, event.source, event.is_request]

    await events.subscribe(topic, describe).ready()
    request = call(topic, headers={"tenant": "7"}, schema_version="2", correlation_id="chain")
    reply = await client.stub.PublishAndWait(request, timeout=5)
    headers, version, correlation, source, is_request = msgpack.unpackb(reply.data)
    assert (headers, version, correlation, is_request) == ({"tenant": "7"}, "2", "chain", True)
    assert source.startswith("gateway/")


async def test_a_request_is_of_the_trace_of_its_grpc_call(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda data, event: dict(event.headers)).ready()
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    other = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-00"}
    for request, metadata, headers in (
        (call(topic), trace, trace),
        (call(topic, headers=other), trace, other),
        (call(topic), {"traceparent": "abc"}, {}),
    ):
        reply = await client.stub.PublishAndWait(request, timeout=5, metadata=tuple(metadata.items()))
        assert msgpack.unpackb(reply.data) == headers


async def test_publish_reaches_subscribers_and_returns_a_receipt(
    client: Client, events: EventSystem, topic: str
) -> None:
    seen = Seen()
    await events.subscribe(topic, lambda data, event: seen.append((data, event.id, event.correlation_id))).ready()
    request = wire.PublishRequest(topic=topic, data=b'{"a": 1}', content_type=JSON)
    receipt = await client.stub.Publish(request, timeout=5)
    await seen.reach(1)
    assert seen[0] == ({"a": 1}, receipt.id, receipt.correlation_id)
    assert receipt.id == receipt.correlation_id


async def test_an_event_lives_as_long_as_the_program_said(client: Client, events: EventSystem, topic: str) -> None:
    left = Seen()
    await events.subscribe(topic, lambda data, event: left.append(event.remaining())).ready()
    await client.stub.Publish(wire.PublishRequest(topic=topic, ttl_ms=60_000), timeout=5)
    await client.stub.Publish(wire.PublishRequest(topic=topic), timeout=5)
    await left.reach(2)
    shorter, longer = sorted(left)  # threads handled them
    assert 40 < longer < 62
    assert 20 < shorter < 32


# --- errors ---------------------------------------------------------------------------------------------------------


async def test_nobody_answers(client: Client, topic: str) -> None:
    told = await failure(client.stub.PublishAndWait(call(topic), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_RESPONDERS")
    assert told.metadata == {"outcome": "NOT_DELIVERED", "retryable": "true"}
    assert "memory://" not in told.message


@pytest.mark.parametrize(
    ("fields", "reason", "says"),
    [
        ({"topic": ""}, "INVALID_TOPIC", "empty"),
        ({"topic": "a..b"}, "INVALID_TOPIC", "empty"),
        ({"topic": "a.*"}, "INVALID_TOPIC", "concrete"),
        ({"topic": "system.error"}, "INVALID_TOPIC", "system only"),
        ({"topic": "webhook.push"}, "INVALID_TOPIC", "system only"),
        ({"topic": "a", "data": b"{", "content_type": JSON}, "INVALID_PAYLOAD", "JSON"),
        ({"topic": "a", "data": b"\x92\x01"}, "INVALID_PAYLOAD", "middle"),
        ({"topic": "a", "data": b"\xff\xfe", "content_type": "text/plain"}, "INVALID_PAYLOAD", "UTF-8"),
        ({"topic": "a", "data": bytes(1_048_577)}, "PAYLOAD_TOO_LARGE", "1048577"),
        ({"topic": "a", "correlation_id": "c" * 256}, "INVALID_ARGUMENT", "correlation_id"),
        ({"topic": "a", "headers": {str(n): "" for n in range(65)}}, "PAYLOAD_TOO_LARGE", "65 headers"),
    ],
)
@pytest.mark.parametrize("waits", [True, False])
async def test_what_breaks_a_rule_is_refused_at_the_door(
    client: Client, fields: dict[str, Any], reason: str, says: str, waits: bool
) -> None:
    if waits:
        made = client.stub.PublishAndWait(wire.PublishAndWaitRequest(**fields), timeout=5)
    else:
        made = client.stub.Publish(wire.PublishRequest(**fields), timeout=5)
    told = await failure(made)
    assert (told.status, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert told.metadata["outcome"] == "NOT_DELIVERED"
    assert says in told.message


@pytest.mark.parametrize("fields", [{"ttl_ms": -1}, {"ttl_ms": 86_400_001}, {"key": "k" * 256}, {"key": "a\nb"}])
async def test_publish_refuses_arguments_out_of_bounds(client: Client, topic: str, fields: dict[str, Any]) -> None:
    told = await failure(client.stub.Publish(wire.PublishRequest(topic=topic, **fields), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")


async def test_a_handler_that_raises(client: Client, events: EventSystem, topic: str) -> None:
    def fail() -> None:
        raise LookupError("no such card")

    await events.subscribe(topic, fail).ready()
    told = await failure(client.stub.PublishAndWait(call(topic), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.UNKNOWN, "HANDLER_ERROR")
    assert told.metadata == {"outcome": "RAN", "retryable": "false", "type": "LookupError"}
    assert told.message == "no such card"


async def test_a_handler_that_raises_one_of_our_errors_gives_its_status(
    client: Client, events: EventSystem, topic: str
) -> None:
    def fail() -> None:
        raise NotFoundError("no card 7", details={"card": 7})

    await events.subscribe(topic, fail).ready()
    told = await failure(client.stub.PublishAndWait(call(topic), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.NOT_FOUND, "HANDLER_ERROR")
    details = json.loads(told.metadata["details"])
    assert (details["code"], details["card"]) == ("NOT_FOUND", 7)


async def test_an_overloaded_responder_says_when_to_come_back(client: Client, events: EventSystem, topic: str) -> None:
    gate = asyncio.Event()
    await events.subscribe(topic, gate.wait, concurrency=1, queue=0).ready()
    first = asyncio.ensure_future(client.stub.PublishAndWait(call(topic), timeout=10))
    await until(lambda: len(events.subscriptions[0].mailbox.running) == 1)
    told = await failure(client.stub.PublishAndWait(call(topic), timeout=5))
    assert (told.status, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert told.metadata["retryable"] == "true"
    assert told.retry_ms == 200
    gate.set()
    await first


@pytest.mark.parametrize("character", ["a", "%", "\n", "ä", "😀"])
async def test_a_long_message_is_cut_not_lost(client: Client, events: EventSystem, topic: str, character: str) -> None:
    def fail() -> None:
        kind = type("E" * 1000, (HandlerError,), {})
        raise kind(character * 100_000, details={"why": character * 100_000})

    await events.subscribe(topic, fail).ready()
    unary = client.stub.PublishAndWait(call(topic), timeout=5)
    told = await failure(unary)
    assert told.reason == "HANDLER_ERROR"
    assert told.message.startswith(character * 100)
    assert told.message.endswith("…")
    trailers = await unary.trailing_metadata()
    assert sum(len(key) + len(value) * 4 // 3 + 32 for key, value in trailers) + 2_200 < 8_192


# --- deadlines and cancellation -------------------------------------------------------------------------------------


async def test_the_deadline_of_the_call_is_its_timeout(client: Client, events: EventSystem, topic: str) -> None:
    ended = Seen()

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    await events.subscribe(topic, slow).ready()
    told = await failure(client.stub.PublishAndWait(call(topic), timeout=2))
    assert (told.status, told.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert told.metadata["outcome"] == "MAY_HAVE_RUN"
    await ended.reach(1)


async def test_without_a_deadline_it_is_thirty_seconds(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda data, event: event.remaining()).ready()
    reply = await client.stub.PublishAndWait(call(topic))
    assert 20 < msgpack.unpackb(reply.data) < 32


async def test_the_handler_sees_the_callers_deadline(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda data, event: event.remaining()).ready()
    reply = await client.stub.PublishAndWait(call(topic), timeout=10)
    assert 5 < msgpack.unpackb(reply.data) < 12


async def test_a_cancelled_call_cancels_the_handler(client: Client, events: EventSystem, topic: str) -> None:
    steps = Seen()

    async def slow() -> None:
        steps.append("begun")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    await events.subscribe(topic, slow).ready()
    made = client.stub.PublishAndWait(call(topic), timeout=20)
    await steps.reach(1)
    made.cancel()
    await steps.reach(2)


async def test_an_idempotent_call_says_that_trying_again_is_safe(
    client: Client, events: EventSystem, topic: str
) -> None:
    await events.subscribe(topic, asyncio.Event().wait).ready()
    told = await failure(client.stub.PublishAndWait(call(topic, idempotent=True), timeout=1.5))
    assert (told.reason, told.metadata["retryable"]) == ("TIMEOUT", "true")


async def test_calls_do_not_wait_for_each_other(client: Client, events: EventSystem, topic: str) -> None:
    gate = asyncio.Event()

    async def wait(number: int) -> int:
        await gate.wait()
        return number

    await events.subscribe(topic, wait).ready()
    made = [asyncio.ensure_future(client.stub.PublishAndWait(call(topic, n), timeout=20)) for n in range(200)]
    await until(lambda: len(events.subscriptions[0].mailbox.running) == 200)
    gate.set()
    assert [msgpack.unpackb(reply.data) for reply in await asyncio.gather(*made)] == list(range(200))


async def test_a_ttl_beyond_all_bounds_is_refused_as_such(client: Client, topic: str) -> None:
    for ttl in (2**63 - 1, -(2**63)):
        told = await failure(client.stub.Publish(wire.PublishRequest(topic=topic, ttl_ms=ttl), timeout=5))
        assert told.reason == "INVALID_ARGUMENT"
        assert "ttl_ms" in told.message


def stream(topic: str, data: Any = None, **fields: Any) -> wire.PublishAndStreamRequest:
    """A request for a stream, in MessagePack."""
    return wire.PublishAndStreamRequest(topic=topic, data=msgpack.packb(data), **fields)


class Counted:
    """A streaming handler that remembers how far it came."""

    def __init__(self) -> None:
        self.yielded = 0
        self.closed = False

    async def count(self, end: int) -> AsyncIterator[int]:
        try:
            for self.yielded in range(1, end + 1):
                yield self.yielded
        finally:
            self.closed = True


async def test_a_stream_is_handed_on_item_by_item(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, Counted().count).ready()
    items = [item async for item in client.stub.PublishAndStream(stream(topic, 3_000), timeout=30)]
    assert [msgpack.unpackb(item.data) for item in items] == list(range(1, 3_001))
    request = wire.PublishAndStreamRequest(topic=topic, data=b"2", content_type=JSON)
    items = [item async for item in client.stub.PublishAndStream(request)]
    assert [(item.data, item.content_type) for item in items] == [(b"1", JSON), (b"2", JSON)]


async def test_a_reader_of_a_stream_that_does_not_read_slows_the_handler_and_leaving_cancels_it(
    client: Client, events: EventSystem, topic: str
) -> None:
    counted = Counted()

    async def large(end: int) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(counted.count(end)) as numbers:
            async for _ in numbers:
                yield bytes(200_000)

    await events.subscribe(topic, large).ready()
    items = client.stub.PublishAndStream(stream(topic, 10_000))
    await items.read()
    await settled(lambda: counted.yielded)
    assert counted.yielded < 1_000
    items.cancel()
    await until(lambda: counted.closed)


async def settled(value: Callable[[], int]) -> None:
    """Return when a number has not changed for a while."""
    before = -1
    while before != value():
        before = value()
        await asyncio.sleep(0.3)


async def test_an_error_of_a_stream_comes_after_its_items_with_details(
    client: Client, events: EventSystem, topic: str
) -> None:
    async def fail(data: Any) -> AsyncIterator[int]:
        yield 1
        raise NotFoundError("no such row", details={"row": 2})

    await events.subscribe(topic, fail).ready()
    items = client.stub.PublishAndStream(stream(topic))
    assert msgpack.unpackb((await items.read()).data) == 1
    told = await failure(items.read())
    assert (told.status, told.reason) == (grpc.StatusCode.NOT_FOUND, "HANDLER_ERROR")
    assert told.metadata["outcome"] == "RAN"
    told = await failure(client.stub.PublishAndStream(stream("nobody.there")).read())
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_RESPONDERS")


async def test_the_deadline_of_a_stream_ends_all_of_it(client: Client, events: EventSystem, topic: str) -> None:
    ended = asyncio.Event()

    async def endless(data: Any) -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0.02)
                yield 1
        finally:
            ended.set()

    await events.subscribe(topic, endless).ready()

    async def read() -> None:
        async for _ in client.stub.PublishAndStream(stream(topic), timeout=2.0):
            pass

    told = await failure(read())
    assert (told.status, told.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert "received" in told.metadata["details"]
    await asyncio.wait_for(ended.wait(), 10.0)


async def test_a_gather_names_everybody_who_was_asked(client: Client, events: EventSystem, topic: str) -> None:
    def fail(data: Any) -> None:
        raise LookupError("no price")

    await events.subscribe(topic, lambda data: data + 1, group="good").ready()
    await events.subscribe(topic, fail, group="bad").ready()
    request = wire.PublishAndGatherRequest(topic=topic, data=msgpack.packb(1))
    answers = (await client.stub.PublishAndGather(request, timeout=10)).answers
    told = {answer.responder.groups[0]: answer for answer in answers}
    assert msgpack.unpackb(told["good"].data) == 2
    assert told["good"].responder.instance == events.instance
    assert (told["bad"].error.type, told["bad"].error.outcome, told["bad"].missing) == ("LookupError", 3, False)
    failed = await failure(client.stub.PublishAndGather(wire.PublishAndGatherRequest(topic="nobody.there")))
    assert (failed.status, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_RESPONDERS")


async def test_a_gather_names_who_is_missing_at_its_deadline(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda data: asyncio.sleep(60)).ready()
    request = wire.PublishAndGatherRequest(topic=topic, every_instance=True)
    (answer,) = (await client.stub.PublishAndGather(request, timeout=2.0)).answers
    assert answer.missing
    assert answer.error.code == 1, "TIMEOUT"


async def test_a_channel_tries_again_only_what_did_not_run(
    up: Up, client: Client, events: EventSystem, topic: str
) -> None:
    """With a retry policy for UNAVAILABLE in the channel: the gateway says which of them may come again."""
    ran: list[Any] = []

    def fails(data: Any) -> None:
        ran.append(data)
        raise UnavailableError("its own database is away")

    await events.subscribe(topic, fails).ready()
    async with PlainStub([up.address], topic) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(1)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"
    assert ran == [1]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=f"{topic}.nobody"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "grpc-retry-pushback-ms" not in dict(caught.value.trailing_metadata())  # it may come again
