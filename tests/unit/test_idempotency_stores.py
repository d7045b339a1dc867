"""Stores that remember which durable events were handled: in memory, in a file, on Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import RedisServer
from tieline import Handling, IdempotencyStore, InvalidArgumentError, Standing, UnavailableError, idempotency_store
from tieline.durable.idempotency import MemoryIdempotencyStore

EVENT = Handling("default", "orders", "018f")
BEGUN, BUSY, DONE = Standing


def address(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return f"sqlite://{tmp_path}/handled.db"
    return str(request.getfixturevalue("redis_url")) if kind == "redis" else "memory://"


async def closed(store: Any) -> None:
    if hasattr(store, "aclose"):
        await store.aclose()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IdempotencyStore]:
    made = idempotency_store(address(request.param, tmp_path, request), window=0.4)
    yield made
    await closed(made)


async def test_an_event_is_begun_once_and_done_for_a_while(store: IdempotencyStore) -> None:
    assert await store.begin(EVENT, "a", 30.0) == BEGUN
    assert await store.begin(EVENT, "b", 30.0) == BUSY
    assert await store.begin(EVENT, "a", 30.0) == BEGUN, "its owner may begin anew"
    await store.done(EVENT)
    assert [await store.begin(EVENT, owner, 30.0) for owner in "ab"] == [DONE, DONE]
    await asyncio.sleep(0.5)
    assert await store.begin(EVENT, "b", 30.0) == BEGUN


async def test_who_died_holds_an_event_no_longer_than_its_lease(store: IdempotencyStore) -> None:
    assert await store.begin(EVENT, "a", 0.3) == BEGUN
    assert await store.begin(EVENT, "b", 0.3) == BUSY
    await asyncio.sleep(0.4)
    assert await store.begin(EVENT, "b", 30.0) == BEGUN
    await store.give_up(EVENT, "a")
    assert await store.begin(EVENT, "a", 30.0) == BUSY


async def test_an_owner_that_begins_again_keeps_it(store: IdempotencyStore) -> None:
    for _ in range(4):
        assert await store.begin(EVENT, "a", 0.6) == BEGUN
        await asyncio.sleep(0.2)
    assert await store.begin(EVENT, "b", 0.6) == BUSY


async def test_what_is_given_up_may_be_begun_at_once(store: IdempotencyStore) -> None:
    assert await store.begin(EVENT, "a", 30.0) == BEGUN
    await store.give_up(EVENT, "b")
    assert await store.begin(EVENT, "b", 30.0) == BUSY
    await store.give_up(EVENT, "a")
    await store.give_up(EVENT, "a")
    assert await store.begin(EVENT, "b", 30.0) == BEGUN


async def test_groups_topics_and_ids_are_told_apart(store: IdempotencyStore) -> None:
    await store.done(EVENT)
    others = [EVENT._replace(group="other"), EVENT._replace(topic="other"), EVENT._replace(id="other")]
    assert [await store.begin(other, "a", 30.0) for other in others] == [BEGUN] * 3
    assert await store.begin(EVENT, "a", 30.0) == DONE


async def test_of_many_that_begin_at_once_one_may(store: IdempotencyStore) -> None:
    standings = await asyncio.gather(*(store.begin(EVENT, f"owner {number}", 30.0) for number in range(50)))
    assert sorted(standings) == [BEGUN] + [BUSY] * 49


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_what_is_done_outlives_the_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = address(kind, tmp_path, request)
    for expected in (BEGUN, DONE):
        made = idempotency_store(url)
        assert await made.begin(EVENT, "a", 30.0) == expected
        await made.done(EVENT)
        await closed(made)
    one, other = idempotency_store(url), idempotency_store(url)
    assert [await each.begin(EVENT, "a", 30.0) for each in (one, other)] == [DONE, DONE]
    await closed(one)
    await closed(other)


async def test_a_store_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    with RedisServer() as server:
        url = server.url
    for gone in (url, f"sqlite://{tmp_path}/no/such/folder.db"):
        made = idempotency_store(gone)
        for ask in (made.begin(EVENT, "a", 1.0), made.done(EVENT), made.give_up(EVENT, "a")):
            with pytest.raises(UnavailableError):
                await ask
        await closed(made)


async def test_memory_forgets_what_is_over() -> None:
    now = [0.0]
    made = MemoryIdempotencyStore(1.0, lambda: now[0])
    for number in range(10_000):
        now[0] += 0.01
        await made.done(EVENT._replace(id=str(number)))
    assert len(made._known) <= 1_000


@pytest.mark.parametrize(
    "url", ["", "postgres://x", "sqlite://", "sqlite:///", "sqlite://host/file.db", "memory", 5, None, b"memory://"]
)
def test_an_address_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="is no idempotency store; use memory://"):
        idempotency_store(url)


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    store: Any = idempotency_store(f"sqlite://{tmp_path}/no/such/file.db")
    with pytest.raises(UnavailableError, match=rf"such/file\.db cannot be used: there is no folder {tmp_path}/no/such"):
        await store.begin(EVENT, "a", 30.0)
    await store.aclose()


@pytest.mark.parametrize("window", [0, -1.0, float("nan"), "5", True])
def test_a_window_that_is_none_is_refused(window: Any, tmp_path: Path) -> None:
    for url in ("memory://", f"sqlite://{tmp_path}/file.db", "redis://localhost"):
        with pytest.raises(InvalidArgumentError):
            idempotency_store(url, window=window)


def test_a_store_may_be_used_in_one_loop_after_the_other(tmp_path: Path, redis_url: str) -> None:
    async def begin_and_close(made: IdempotencyStore) -> Standing:
        try:
            return await made.begin(EVENT, "a", 30.0)
        finally:
            await closed(made)

    for url in (f"sqlite://{tmp_path}/file.db", redis_url):
        made = idempotency_store(url)
        assert [asyncio.run(begin_and_close(made)) for _ in range(2)] == [BEGUN, BEGUN]
