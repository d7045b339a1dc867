"""The default event system: made from the environment, and begun anew when its loop is gone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.suite.raw import Raw
from tests.suite.seen import Seen
from tests.support.servers import RedisServer
from tieline import (
    CallTimeoutError,
    EventSystem,
    InvalidArgumentError,
    get_event_system,
    publish_event,
    publish_event_and_wait,
)
from tieline.envelope import REQUEST
from tieline.transports import make_transport


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fresh process without a broker in its environment."""
    monkeypatch.setattr("tieline.default_system._default", None)
    monkeypatch.delenv("TIELINE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture(params=["memory", "redis"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the default system works: in this process, or on the server that REDIS_URL names."""
    if request.param == "redis":
        monkeypatch.setenv("REDIS_URL", request.getfixturevalue("redis_url"))
    return str(request.param)


def test_there_is_one_default_system() -> None:
    assert get_event_system() is get_event_system()


def test_tieline_url_comes_before_redis_url(monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
    monkeypatch.setenv("REDIS_URL", "no-scheme-at-all")
    monkeypatch.setenv("TIELINE_URL", redis_server.url)

    async def use() -> bool:
        async with get_event_system() as system:
            return system.connected

    assert asyncio.run(use())


def test_without_a_broker_it_works_within_the_process() -> None:
    @get_event_system().subscribe("add")
    async def add(numbers: list[int]) -> int:
        return sum(numbers)

    async def use() -> Any:
        await publish_event("nobody")
        return await publish_event_and_wait("add", [1, 2])

    assert asyncio.run(use()) == 3


def test_after_it_was_closed_there_is_a_new_one(broker: str) -> None:
    first = get_event_system()

    async def use() -> None:
        await publish_event("a")
        await first.aclose()
        assert get_event_system() is not first
        await publish_event("a")
        await get_event_system().aclose()

    asyncio.run(use())


async def _once(topic: str, data: Any) -> Any:
    """Call it, as a program does that runs a loop for this only; the connection is not closed but forgotten."""
    answer = await publish_event_and_wait(topic, data, ttl=5.0)
    await _hang_up(get_event_system())
    return answer


async def _hang_up(system: EventSystem) -> None:
    """Drop the connection as the end of the process would, so that the test leaves no open socket behind."""
    transport = system._instance._transport
    if transport is not None:
        await transport.aclose()


def test_in_a_new_loop_it_starts_anew_with_the_same_subscriptions(broker: str) -> None:
    get_event_system().subscribe("double", lambda data: data * 2)
    assert [asyncio.run(_once("double", n)) for n in (1, 2, 3)] == [2, 4, 6]


def test_what_ran_in_the_old_loop_takes_no_room_in_the_new_one(broker: str) -> None:
    system, seen = get_event_system(), Seen()

    async def slow(data: int) -> int:
        if data < 0:
            await asyncio.sleep(30)
        return data

    system.subscribe("slow", slow, concurrency=1, queue=1)
    system.subscribe("batch", seen.take, batch=(2, 30.0))

    async def leave_much_behind() -> None:
        calls = [asyncio.create_task(publish_event_and_wait("slow", -1)) for _ in range(2)]
        await publish_event("batch", "of the old loop")
        await asyncio.sleep(0.3)
        for call in calls:
            call.cancel()
        await _hang_up(system)

    async def go_on() -> Any:
        answers = [await publish_event_and_wait("slow", n, ttl=5.0) for n in range(3)]
        await publish_event("batch", 1)
        await publish_event("batch", 2)
        await seen.reach(1)
        await _hang_up(system)
        return answers

    asyncio.run(leave_much_behind())
    assert asyncio.run(go_on()) == [0, 1, 2]
    assert seen == [[1, 2]]


def test_in_a_new_loop_a_request_from_elsewhere_is_watched_over_as_before(redis_url: str) -> None:
    """Said to be accepted, and cancelled when it expires."""
    system, began, cancelled = EventSystem(redis_url), Seen(), Seen()

    async def slow(data: Any) -> None:
        began.append(data)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(data)
            raise

    system.subscribe("slow", slow)

    async def be_called(ttl: float) -> bool:
        await system.start()
        caller = EventSystem(redis_url)
        try:
            await caller.publish_and_wait("slow", "x", ttl=ttl)
        except CallTimeoutError as error:
            return bool(error.details["accepted"])
        finally:
            await caller.aclose()
            await _hang_up(system)
        return False

    async def begin_only() -> None:
        await system.start()
        raw = await Raw(make_transport(redis_url, "", system.settings)).open()
        raw.port.dispatch(raw.envelope(REQUEST, "slow", "of the old loop"), "")
        await began.reach(1)
        await raw.transport.aclose()
        await _hang_up(system)

    asyncio.run(begin_only())
    cancelled.clear()
    assert asyncio.run(be_called(2.0))
    assert cancelled == ["x"]


def test_the_file_of_a_loop_that_is_gone_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIELINE_URL", f"memory://{tmp_path}/results.db")
    system = get_event_system()
    system.subscribe("double", lambda data: data * 2)

    async def use(data: int) -> tuple[Any, threading.Thread]:
        answer = await publish_event_and_wait("double", data, ttl=5.0, idempotency_key=f"k{data}")
        return answer, next(thread for thread in reversed(threading.enumerate()) if thread.name == "tieline-results")

    used = [asyncio.run(use(number % 2)) for number in range(4)]
    assert [answer for answer, _ in used] == [0, 2, 0, 2]
    for _, thread in used[:-1]:
        thread.join(10.0)
    assert [thread.is_alive() for _, thread in used] == [False] * 3 + [True]
    asyncio.run(_hang_up(system))
    assert not used[-1][1].is_alive()


def test_while_its_loop_runs_another_loop_may_not_use_it() -> None:
    async def outer() -> None:
        await publish_event("a")
        with pytest.raises(InvalidArgumentError, match="belongs to the event loop"):
            await asyncio.to_thread(asyncio.run, publish_event("a"))

    asyncio.run(outer())
