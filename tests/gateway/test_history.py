"""`tieline up --history`: programs behind a gateway, and plain stubs, ask for history; recorders that are killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tests.gateway.up import Client, Up, system
from tests.support.postgres import PostgresServer
from tests.support.servers import RedisServer
from tieline import EventSystem, Settings
from tieline._contract import gateway_pb2 as wire
from tieline._contract.contract import ERRORS
from tieline.errors import InvalidArgumentError, NoRespondersError, UnsupportedError
from tieline.history.store import Order, Selection
from tieline.history.stores import event_store

JSON = "application/json"
QUIET = Settings(drain=0.1, system_events=False)


def quiet(up: Up) -> EventSystem:
    """A client that says nothing of itself."""
    return system(up, settings=QUIET)


async def poll(true: Callable[[], Awaitable[object]], seconds: float = 90.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.05)


@pytest.fixture(params=["embedded", "redis"])
async def up(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Up]:
    options = ["--url", request.getfixturevalue("redis_url")] if request.param == "redis" else []
    async with Up("--history", f"sqlite:///{tmp_path / 'history.db'}", *options) as made:
        yield made


def reason(error: grpc.aio.AioRpcError) -> str:
    """What our own details of a status say."""
    metadata = {str(key): value for key, value in error.trailing_metadata() or ()}
    info = ErrorInfo()
    Status.FromString(metadata["grpc-status-details-bin"]).details[0].Unpack(info)
    return info.reason


async def recorded(events: EventSystem, count: int) -> list[Any]:
    async def there() -> bool:
        return len((await events.history.list(limit=1_000)).events) >= count

    await poll(there)
    return (await events.history.list(limit=1_000, oldest_first=True)).events


async def test_history_is_told_and_replayed_through_a_gateway(up: Up) -> None:
    got: list[Any] = []
    async with quiet(up) as events, quiet(up) as other:
        await events.publish("a.b", {"n": 1})
        await events.publish("a.b", {"n": 2}, key="k")
        first, second = await recorded(other, 2)
        assert (first.data, first.status) == ({"n": 1}, "processed")
        assert (second.data, second.status, second.key) == ({"n": 2}, "pending", "k")
        assert await other.history.get(first.id) == first
        assert (await other.history.figures()).events == 2
        one_by_one: dict[str, Any] = {"group": "g", "concurrency": 1}
        await other.subscribe(
            "a.b", lambda data, event: got.append((data, event.id, event.replay)), **one_by_one
        ).ready()
        last = await events.history.replay("a.b", to_group="g", speed=None).wait()
        assert last.sent == 2

        async def both() -> bool:
            return len(got) == 2

        await poll(both)
        assert got == [({"n": 1}, first.id, last.id), ({"n": 2}, second.id, last.id)]
        assert await other.history.delete(first.id) == 1
        with pytest.raises(UnsupportedError, match="tieline up --history"):
            await events.record("sqlite:////tmp/nowhere.db")


async def test_plain_stubs_ask_for_history_in_json(up: Up) -> None:
    async with quiet(up) as events, Client(up.address) as client:
        await events.publish("a.b", {"n": 1}, headers={"x": "y"})
        await recorded(events, 1)
        question = json.dumps({"types": ["a.*"], "limit": 5}).encode()
        request = wire.PublishAndWaitRequest(topic="system.history.list", data=question, content_type=JSON)
        told = json.loads((await client.stub.PublishAndWait(request, timeout=10)).data)
        (event,) = told["events"]
        assert (event["type"], event["data"], event["headers"]) == ("a.b", {"n": 1}, {"x": "y"})
        bad = wire.PublishAndWaitRequest(topic="system.history.list", data=b'{"limit": 0}', content_type=JSON)
        with pytest.raises(grpc.aio.AioRpcError, match="limit is a whole number") as refused:
            await client.stub.PublishAndWait(bad, timeout=10)
        assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        nobody = wire.PublishAndWaitRequest(topic="system.history.get", data=b'{"id": "nobody"}', content_type=JSON)
        with pytest.raises(grpc.aio.AioRpcError, match="history has no event 'nobody'") as unknown:
            await client.stub.PublishAndWait(nobody, timeout=10)
        assert (unknown.value.code(), reason(unknown.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        asked = wire.PublishAndGatherRequest(topic="system.history.figures", data=b'{"no": 1}', content_type=JSON)
        (answer,) = (await client.stub.PublishAndGather(asked, timeout=10)).answers
        assert (answer.missing, answer.error.code) == (False, ERRORS["INVALID_ARGUMENT"].number)
        stream = wire.PublishAndStreamRequest(
            topic="system.history.replay", data=b'{"to_topic": "again.here"}', content_type=JSON
        )
        items = [json.loads(item.data) async for item in client.stub.PublishAndStream(stream, timeout=10)]
        assert (items[-1]["sent"], items[-1]["done"]) == (1, True)
        stream.data = b'{"to_group": "typo"}'
        with pytest.raises(grpc.aio.AioRpcError, match="nobody is in the group 'typo'") as missing:
            [item async for item in client.stub.PublishAndStream(stream, timeout=10)]
        assert (missing.value.code(), reason(missing.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        with pytest.raises(grpc.aio.AioRpcError, match="published by the system only"):
            await client.stub.Publish(wire.PublishRequest(topic="system.history.list", data=b"\xc0"), timeout=10)


async def test_a_gateway_without_history_says_how_to_get_it(tmp_path: Path) -> None:
    async with Up() as up, quiet(up) as events:
        with pytest.raises(NoRespondersError, match="tieline up --history"):
            await events.history.list()
        with pytest.raises(InvalidArgumentError, match="limit"):
            await events.history.list(limit=0)


async def test_history_outlives_the_gateway_that_wrote_it(tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "broker.db"), "--history", "--history-topic", "a.>"]
    async with Up(*options) as up:
        async with quiet(up) as events:
            await asyncio.gather(*(events.publish("a.b", n, key=str(n)) for n in range(50)))
            await events.publish("b.b", 1)
        up.terminate()
        assert await up.wait() == 0
        await up.start()
        async with quiet(up) as events:
            told = await recorded(events, 50)
    assert sorted(event.data for event in told) == list(range(50))
    assert (tmp_path / "broker.db-history").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--history", "mysql://x"], "is no store of history"),
        (["--history-days", "3"], "go with --history"),
        (["--history", "sqlite:///x", "--history-topic", "a b"], "pattern"),
    ],
)
async def test_what_cannot_be_meant_is_refused(options: list[str], message: str) -> None:
    up = Up(*options)
    assert await up.refuses() == 2
    assert message in up.text


async def test_recorders_that_are_killed_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    count = 3_000
    with RedisServer() as redis, PostgresServer() as postgres:
        options = ["--url", redis.url, "--history", postgres.url]
        async with (
            Up(*options) as one,
            Up(*options) as two,
            EventSystem(redis.url, service="shop", settings=QUIET) as events,
        ):
            assert "test@" not in one.text

            async def publish() -> None:
                for begin in range(0, count, 50):
                    await asyncio.gather(*(events.publish("a.b", n, key=str(n % 7)) for n in range(begin, begin + 50)))
                    await asyncio.sleep(0.01)

            publishing = asyncio.create_task(publish())
            for up in (one, two, one):
                await asyncio.sleep(0.3)
                up.kill()
                await up.wait()
                await up.start()
            await publishing
            store = event_store(postgres.url)

            async def all_there() -> bool:
                return await store.count(Selection()) >= count

            await poll(all_there)
            await asyncio.sleep(0.5)
            assert await store.count(Selection()) == count
            rows = await store.select(Selection(), Order.BROKER, limit=1_000)
            assert [row.position for row in rows] == sorted(row.position for row in rows)
            assert (await events.history.figures()).lost == 0
            await store.aclose()


async def test_postgresql_that_goes_away_holds_nothing_up(tmp_path: Path) -> None:
    with RedisServer() as redis, PostgresServer() as postgres:
        async with Up("--url", redis.url, "--history", postgres.url) as up, quiet(up) as events:
            await events.publish("a.b", -1)
            await recorded(events, 1)
            postgres.stop()
            for n in range(200):
                await events.publish("a.b", n)

            async def told() -> bool:
                figures = await events.history.figures()
                return bool(next(iter(figures.recorders.values())).trouble) and figures.waiting == 200

            await poll(told)
            postgres.start()
            assert sorted(event.data for event in await recorded(events, 201)) == list(range(-1, 200))
        assert up.text.count("nothing can be written") == 1
