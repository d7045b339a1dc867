"""Events that are to be on replicas before they count as stored."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Bench
from tests.suite.seen import Seen, until
from tests.support.servers import RedisServer
from tieline import ConflictError, EventSystem, Outcome, OverloadedError, UnavailableError, UnsupportedError


async def test_a_publish_waits_for_replicas_and_says_so_if_there_are_too_few(bench: Bench) -> None:
    publisher, seen = await bench.system("publisher"), Seen()
    await publisher.subscribe("replicated", seen.take, durable=True).ready()
    await bench.ask("SET", "follows", "yes")
    with RedisServer(options=("--replicaof", "127.0.0.1", str(bench.server.port))) as replica:
        await until(lambda: replica.command("GET", "follows") == "$3", 60.0)  # it is online before it has read anything
        receipt = await publisher.publish("replicated", 1, key="k", wait_replicas=1)
        assert receipt.stored is not None
        with pytest.raises(UnavailableError) as caught:
            await publisher.publish("replicated", 2, key="k", wait_replicas=2)
    assert caught.value.details == {"replicas": 1}
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    await seen.stay(2)
    assert list(seen) == [1, 2], "what was stored is handled, replicated or not"


async def test_what_finds_no_room_is_refused_and_what_nobody_subscribes_to_is_known(bench: Bench) -> None:
    publisher = await bench.system("publisher")
    with pytest.raises(UnavailableError):
        await publisher.publish("replicated", 1, key="k", wait_replicas=1)
    with pytest.raises(OverloadedError):
        await publisher.publish("replicated", 2, key="k", max_stored=1, wait_replicas=1)
    await bench.ask("SET", "event_stream:replicated:l", "no stream")
    with pytest.raises(ConflictError):
        await publisher.publish("replicated", 3, key="l", wait_replicas=1)
    assert await publisher.groups.topics() == ["replicated"]


async def test_where_there_are_no_replicas_nobody_can_wait_for_them() -> None:
    async with EventSystem("memory://") as events:
        with pytest.raises(UnsupportedError):
            await events.publish("replicated", 1, key="k", wait_replicas=1)
