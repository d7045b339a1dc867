"""`Subscribe`: events for a program with plain stubs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from tests.gateway.up import Client, Up
from tests.suite.seen import Seen
from tieline import EventSystem
from tieline._contract import gateway_pb2 as wire


class Subscriber:
    """One stream, read as it comes; `async with` returns when it is subscribed."""

    def __init__(self, client: Client, topic: str, group: str = "") -> None:
        self.call: Any = client.stub.Subscribe(wire.SubscribeRequest(topic=topic, group=group))
        self.events: list[bytes] = []
        self.gaps: list[wire.Gap] = []

    async def __aenter__(self) -> Self:
        first = await self.call.read()
        assert first.WhichOneof("item") == "subscribed"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.call.cancel()

    async def read(self, count: int, seconds: float = 20.0) -> list[bytes]:
        """Read until so many events are here."""
        async with asyncio.timeout(seconds):
            while len(self.events) < count:
                await self._take()
        return self.events

    async def read_to_gap(self, seconds: float = 20.0) -> None:
        """Read until it is told that something was lost."""
        async with asyncio.timeout(seconds):
            while not self.gaps:
                await self._take()

    async def quiet(self, seconds: float = 0.2) -> list[bytes]:
        """Read for a while; what came so far."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._take()
        except TimeoutError:
            return self.events

    async def _take(self) -> None:
        message = await self.call.read()
        assert message is not grpc.aio.EOF
        if message.WhichOneof("item") == "event":
            self.events.append(message.event.data)
        else:
            self.gaps.append(message.gap)


async def publish(client: Client, topic: str, data: str) -> None:
    """One text event."""
    await client.stub.Publish(
        wire.PublishRequest(topic=topic, data=data.encode(), content_type="text/plain"), timeout=5
    )


async def test_subscribed_comes_first_then_every_event_in_order(client: Client, topic: str) -> None:
    async with Subscriber(client, topic) as subscriber:
        for number in range(20):
            await publish(client, topic, str(number))
        assert await subscriber.read(20) == [b"%d" % number for number in range(20)]


async def test_the_whole_envelope_arrives(client: Client, events: EventSystem, topic: str) -> None:
    async with Subscriber(client, topic) as subscriber:
        receipt = await events.publish(topic, {"a": 1}, headers={"tenant": "7"})
        envelope = (await subscriber.call.read()).event
        assert (envelope.id, envelope.topic, dict(envelope.headers)) == (receipt.id, topic, {"tenant": "7"})
        assert envelope.source == f"test/{events.instance}"


async def test_wildcards(client: Client, topic: str) -> None:
    async with Subscriber(client, f"{topic}.*") as one, Subscriber(client, f"{topic}.>") as rest:
        for name in (topic, f"{topic}.a", f"{topic}.a.b"):
            await publish(client, name, name)
        assert await rest.read(2) == [f"{topic}.a".encode(), f"{topic}.a.b".encode()]
        assert await one.quiet() == [f"{topic}.a".encode()]


async def test_members_of_a_group_share_and_the_others_get_all(client: Client, topic: str) -> None:
    async with (
        Subscriber(client, topic, "workers") as first,
        Subscriber(client, topic, "workers") as second,
        Subscriber(client, topic) as alone,
    ):
        sent = [str(number).encode() for number in range(10)]
        for data in sent:
            await publish(client, topic, data.decode())
        assert await alone.read(10) == sent
        shared = [*await first.quiet(), *await second.quiet()]
        assert sorted(shared) == sorted(sent)
        assert first.events
        assert second.events


async def test_a_group_is_shared_between_plain_programs_and_our_clients(
    client: Client, events: EventSystem, topic: str
) -> None:
    taken = Seen()
    await events.subscribe(topic, taken.take, group="workers").ready()
    async with Subscriber(client, topic, "workers") as subscriber:
        for number in range(10):
            await publish(client, topic, str(number))
        await taken.stay(5)
        assert len(await subscriber.read(5)) == 5


async def test_requests_are_not_events(client: Client, events: EventSystem, topic: str) -> None:
    await events.subscribe(topic, lambda: "answer").ready()
    async with Subscriber(client, topic) as subscriber:
        await client.stub.PublishAndWait(wire.PublishAndWaitRequest(topic=topic, data=b"\xc0"), timeout=5)
        assert await subscriber.quiet() == []


@pytest.mark.parametrize(
    ("fields", "reason"), [({"topic": "a..b"}, "INVALID_TOPIC"), ({"topic": "a", "group": "b c"}, "INVALID_ARGUMENT")]
)
async def test_what_is_no_subscription_is_refused(client: Client, fields: dict[str, str], reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.Subscribe(wire.SubscribeRequest(**fields)).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason.encode() in dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]


async def test_who_does_not_keep_up_loses_the_oldest_and_is_told(client: Client, topic: str) -> None:
    big = bytes(900_000)
    async with Subscriber(client, topic) as slow, Subscriber(client, topic) as quick:
        for _ in range(40):
            await client.stub.Publish(wire.PublishRequest(topic=topic, data=big, content_type="a/b"), timeout=5)
            await quick.read(len(quick.events) + 1)
        await client.stub.Publish(wire.PublishRequest(topic=topic, data=b"last", content_type="a/b"), timeout=5)
        await slow.read_to_gap()
        received = await slow.quiet(1.0)
        assert received[-1] == b"last"
        assert 3 < len(received) < 40
        assert 0 < len(slow.gaps) < 41 - len(received), "not one for each event that was lost"
        ends = [moment for gap in slow.gaps for moment in (gap.since, gap.until)]
        assert 0 < ends[0] < ends[1]
        assert ends == sorted(ends)
        assert all("keep up" in gap.reason for gap in slow.gaps)
        assert not quick.gaps


async def test_a_stream_that_was_cancelled_is_no_member_any_more(
    stack: AsyncExitStack, up: Up, client: Client, topic: str
) -> None:
    leaver = await stack.enter_async_context(Client(up.address))
    async with Subscriber(client, topic, "workers") as stays, Subscriber(leaver, topic, "workers") as leaves:
        leaves.call.cancel()
        await asyncio.sleep(1.5)
        for number in range(10):
            await publish(client, topic, str(number))
        assert len(await stays.read(10)) == 10
