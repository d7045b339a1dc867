"""History as programs ask for it, and replay, over both kinds of brokers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import RedisServer
from tieline import Event, EventSystem, RetryPolicy, Settings
from tieline.calls.caller import reply_value
from tieline.envelope import REQUEST
from tieline.errors import (
    InvalidArgumentError,
    InvalidTopicError,
    NoRespondersError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from tieline.history.replay import ReplayProgress
from tieline.history.sql_store import SqlEventStore
from tieline.history.store import RecordedEvent
from tieline.history.stores import event_store
from tieline.outgoing import compose
from tieline.transports.memory import MemoryBroker, MemoryTransport

BIG = 1_000_000


async def poll(true: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


QUIET = Settings(system_events=False, ping_interval=60)
"""What the system says of itself would be recorded too. History is told by the times of clients, whose clocks may go
back by a little when they ask for the time."""


class Pair:
    """An event system that records, and another one at the same broker."""

    def __init__(self, recorder: EventSystem, other: EventSystem, url: str) -> None:
        self.recorder = recorder
        self.other = other
        self.url = url

    async def recorded(self, count: int) -> None:
        async def there() -> bool:
            return len((await self.other.history.list(limit=1_000)).events) >= count

        await poll(there)

    async def publish(self, topic: str, *values: Any, **options: Any) -> None:
        for value in values:
            await self.other.publish(topic, value, **options)


@pytest.fixture(params=["memory", "redis"])
async def systems(request: pytest.FixtureRequest) -> AsyncIterator[tuple[EventSystem, EventSystem]]:
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        one, two = (EventSystem(url, service=name, settings=QUIET) for name in ("keeper", "shop"))
    else:
        broker = MemoryBroker()
        one, two = (
            EventSystem(service=name, transport=MemoryTransport(broker), settings=QUIET) for name in ("keeper", "shop")
        )
    async with one, two:
        yield one, two


@pytest.fixture
async def pair(systems: tuple[EventSystem, EventSystem], tmp_path: Path) -> AsyncIterator[Pair]:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    async with await systems[0].record(url):
        yield Pair(*systems, url)


async def test_history_tells_what_happened_newest_first(pair: Pair) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    await pair.publish("orders.created", {"n": 1}, headers={"a": "b"})
    await pair.publish("orders.paid", {"n": 2}, key="k")
    await pair.recorded(2)
    paid, created = (await pair.other.history.list()).events
    assert (created.type, created.data, created.status) == ("orders.created", {"n": 1}, "processed")
    assert created.headers == {"a": "b"}
    assert created.source.startswith("shop/")
    assert before < created.time < before + timedelta(seconds=60)
    assert created.expires_at == created.time + timedelta(seconds=30)
    assert (paid.type, paid.key, paid.status, paid.expires_at) == ("orders.paid", "k", "pending", None)
    assert await pair.recorder.history.get(paid.id) == paid
    with pytest.raises(NotFoundError, match="history has no event 'nobody': it was not recorded, or retention"):
        await pair.recorder.history.get("nobody")


async def test_history_is_asked_by_type_time_status_and_source(pair: Pair) -> None:
    await pair.publish("a.one", 1)
    await asyncio.sleep(0.02)
    await pair.recorder.publish("a.two", 2, key="k")  # two instances know the time as well as they could ask for it
    await asyncio.sleep(0.02)
    await pair.publish("b.one", 3)
    await pair.recorded(3)
    history = pair.other.history

    async def types(*args: Any, **asked: Any) -> list[str]:
        return sorted(event.type for event in (await history.list(*args, **asked)).events)

    assert await types("a.*") == ["a.one", "a.two"]
    assert await types(["a.two", "b.>"]) == ["a.two", "b.one"]
    assert await types(status="pending") == ["a.two"]
    assert await types(source="keeper") == ["a.two"]
    moments = [event.time for event in (await history.list(oldest_first=True)).events]
    assert await types(start=moments[0], end=moments[-1] + timedelta(milliseconds=1)) == ["a.one", "a.two", "b.one"]
    assert await types(end=moments[0]) == []
    assert await types(start=moments[0], end=moments[0]) == []


async def test_pages_and_cursors(pair: Pair) -> None:
    await pair.publish("a.b", *range(7))
    await pair.recorded(7)
    history = pair.other.history
    page = await history.list(page=2, limit=3, oldest_first=True)
    assert ([event.data for event in page.events], page.total) == ([3, 4, 5], 7)
    beyond = await history.list(page=9, limit=3)
    assert (beyond.events, beyond.cursor, beyond.total) == ([], "", 7)
    seen, cursor = list[int](), ""
    while True:
        some = await history.list(limit=2, cursor=cursor)
        seen += [event.data for event in some.events]
        cursor = some.cursor
        if not cursor:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]


async def test_large_payloads_come_whole(pair: Pair) -> None:
    await pair.publish("a.b", b"x" * BIG, b"y" * BIG, b"z" * 300_000, b"w" * 300_000)
    await pair.recorded(4)
    page = await pair.other.history.list(oldest_first=True)
    assert [event.data for event in page.events] == [b"x" * BIG, b"y" * BIG, b"z" * 300_000, b"w" * 300_000]
    one = await pair.other.history.get(page.events[1].id)
    assert one == page.events[1]


async def test_events_with_large_headers_are_told_in_several_answers(pair: Pair) -> None:
    for n in range(160):
        await pair.publish("a.b", n, headers={"h": "x" * 8_000})
    await pair.recorded(160)
    page = await pair.other.history.list(limit=160)
    assert sorted(event.data for event in page.events) == list(range(160))


async def test_history_is_deleted_by_id_or_by_what_it_is(pair: Pair) -> None:
    await pair.publish("a.b", 1, 2)
    await pair.publish("a.c", 3, 4)
    await pair.recorded(4)
    history = pair.other.history
    first = (await history.list("a.b")).events[0]
    assert await history.get(first.id) == first
    assert await history.delete(first.id) == 1
    with pytest.raises(NotFoundError, match="removed"):
        await history.get(first.id)
    assert await history.delete([first.id]) == 0
    assert await history.delete(types="a.c") == 2
    assert [event.data for event in (await history.list()).events] == [1]


async def test_figures_tell_of_the_store_and_of_each_recorder(pair: Pair) -> None:
    await pair.publish("a.b", 1, 2)
    await pair.recorded(2)

    async def idle() -> bool:
        return (await pair.other.history.figures()).waiting == 0

    await poll(idle)
    figures = await pair.other.history.figures()
    assert (figures.events, figures.lag, figures.lost) == (2, 0.0, 0)
    assert figures.bytes > 200
    assert figures.oldest is not None
    (recorder,) = figures.recorders.values()
    assert (recorder.recorded, recorder.trouble) == (2, "")
    assert list(figures.recorders) == [pair.recorder.instance]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"start": datetime(2030, 1, 2, tzinfo=UTC), "end": datetime(2030, 1, 1, tzinfo=UTC)},
            r"^INVALID_ARGUMENT: start \(2030-01-02T00:00:00.000Z\) is after end \(2030-01-01T00:00:00.000Z\)",
        ),
        ({"start": 5}, "start is a datetime with a time zone, not 5"),
        ({"end": datetime(2030, 1, 1)}, "end is a datetime with a time zone"),  # noqa: DTZ001
        ({"limit": 1_001}, "limit is a whole number from 1 to 1,000"),
        ({"limit": 0}, "limit is a whole number"),
        ({"page": 0}, "page is a whole number from 1"),
        ({"status": "done"}, "status is one of pending, processed, failed"),
        ({"cursor": "x"}, "is no cursor"),
        ({"cursor": "1-a", "page": 1}, "a page or a cursor, not both"),
    ],
)
async def test_bad_questions_are_refused(asked: dict[str, Any], message: str) -> None:
    async with EventSystem() as events:
        with pytest.raises(InvalidArgumentError, match=message):
            await events.history.list(**asked)


async def test_what_a_recorder_refuses_is_told_as_it_is(pair: Pair) -> None:
    for question, message in (
        ({"limit": 5_000}, "limit is a whole number"),
        ({"typos": ["a"]}, "history does not know typos; it knows types, start"),
        ([1], "history is asked with a map"),
        ({"start": 2, "end": 1}, "is after end"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            await pair.other.history._ask("list", question, 5.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="say what is to be deleted"):
        await pair.other.history._ask("delete", {}, 5.0)
    with pytest.raises(InvalidArgumentError, match="say what is to be deleted"):
        await pair.other.history.delete()


async def test_without_a_recorder_everybody_is_told_how_to_start_one(
    systems: tuple[EventSystem, EventSystem], tmp_path: Path
) -> None:
    for ask in (systems[1].history.list, systems[1].history.figures, systems[1].history.replay(to_group="x").wait):
        with pytest.raises(NoRespondersError, match=r"up --history, .*\.record\('sqlite:///path/of/history.db'\)"):
            await ask()
    recording = await systems[0].record(f"sqlite:///{tmp_path / 'history.db'}")
    assert (await systems[1].history.list()).events == []
    await recording.aclose()
    with pytest.raises(NoRespondersError, match="nobody records"):
        await systems[1].history.list()


@pytest.mark.parametrize("nothing", [None, 7, ""])
async def test_what_is_no_store_is_refused_at_once(nothing: Any) -> None:
    async with EventSystem() as events:
        with pytest.raises(InvalidArgumentError, match="is no store of history; use sqlite:///path"):
            await events.record(nothing)


async def test_one_pattern_may_be_recorded_as_it_is(tmp_path: Path) -> None:
    async with EventSystem() as events, await events.record(f"sqlite:///{tmp_path}/h.db", topics="told.*"):
        await events.publish("quiet.x", 1)
        await events.publish("told.x", 2)

        async def told() -> bool:
            return [each.type for each in (await events.history.list()).events] == ["told.x"]

        await poll(told)


async def test_a_database_that_goes_away_is_told(
    systems: tuple[EventSystem, EventSystem], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "history.db"
    async with await systems[0].record(f"sqlite:///{file}"):
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # somebody repairs it
        await systems[1].publish("a.b", 1)

        async def told() -> bool:
            return any(line.startswith("nothing can be written") for line in caplog.messages)

        await poll(told)
        with pytest.raises(UnavailableError, match="locked"):
            await systems[1].history.list(ttl=20)
        other.execute("ROLLBACK")
        other.close()

        async def there() -> bool:
            return bool((await systems[1].history.list()).events)

        await poll(there)
    assert len([line for line in caplog.messages if line.startswith("nothing can be written")]) == 1


async def test_nothing_can_be_recorded_through_a_gateway(tmp_path: Path) -> None:
    from tieline.history.tape import NoTape

    with pytest.raises(UnsupportedError, match="tieline up --history"):
        await NoTape().register()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retain": 0}, "retain is in seconds, above 0"),
        ({"retain": "1d"}, "retain is in seconds"),
        ({"max_events": -1}, "max_events is a whole number"),
        ({"max_bytes": 1.5}, "max_bytes is a whole number"),
    ],
)
async def test_bad_retention_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    async with EventSystem() as events:
        with pytest.raises(InvalidArgumentError, match=message):
            await events.record(f"sqlite:///{tmp_path / 'history.db'}", **options)


async def test_nobody_else_answers_for_history() -> None:
    async with EventSystem() as events:
        with pytest.raises(InvalidTopicError, match="answered by the system itself"):
            events.subscribe("system.history.list", lambda data: 1)


# --- replay -----------------------------------------------------------------------------------------------------------


async def test_live_events_are_replayed_to_one_member_of_a_group(pair: Pair) -> None:
    seen: list[tuple[Any, str, str, datetime]] = []
    others: list[Any] = []

    def note(data: Any, event: Event) -> None:
        seen.append((data, event.id, event.replay, event.time))

    await pair.publish("a.b", *range(5))
    await pair.publish("a.c", 9)
    await pair.recorded(6)
    await pair.other.subscribe("a.*", note, group="again").ready()
    await pair.recorder.subscribe("a.*", note, group="again").ready()
    await pair.other.subscribe("a.b", others.append).ready()
    last = await pair.other.history.replay("a.b", to_group="again", speed=None).wait()
    assert (last.sent, last.skipped, last.total, last.done) == (5, 0, 5, True)
    await poll(lambda: _long(seen, 5))
    told = {event.id: event for event in (await pair.other.history.list("a.b")).events}
    assert sorted(data for data, *_ in seen) == [0, 1, 2, 3, 4]
    assert {replay for _, _, replay, _ in seen} == {last.id}
    assert all(told[event_id].time == moment for _, event_id, _, moment in seen)
    assert others == []
    assert len((await pair.other.history.list()).events) == 6


async def test_stored_events_are_replayed_to_one_durable_group_in_their_order(pair: Pair) -> None:
    first: list[Any] = []
    second: list[Any] = []
    mine = pair.other.subscribe("a.b", first.append, durable=True, group="one")
    theirs = pair.recorder.subscribe(
        "a.b", lambda data, event: second.append((data, event.replay)), durable=True, group="two"
    )
    await asyncio.gather(mine.ready(), theirs.ready())
    await pair.publish("a.b", *range(20), key="k")
    await poll(lambda: _long(second, 20))
    await pair.recorded(20)
    last = await pair.other.history.replay("a.b", to_group="two", speed=None).wait()
    await poll(lambda: _long(second, 40))
    assert second[20:] == [(data, last.id) for data in range(20)]
    await asyncio.sleep(0.3)
    assert first == list(range(20))
    assert len((await pair.other.history.list(limit=100)).events) == 20


async def test_what_becomes_of_a_replay_is_no_part_of_history(pair: Pair) -> None:
    def handle(data: Any, event: Event) -> None:
        if event.replay:
            raise ValueError("not again")

    policy = RetryPolicy(max_attempts=1)
    options: dict[str, Any] = {"durable": True, "retry": policy, "on_poison": "dead_letter"}
    await pair.other.subscribe("a.b", handle, **options).ready()
    await pair.publish("a.b", 1, key="k")

    async def processed() -> bool:
        return bool((await pair.other.history.list("a.b", status="processed")).events)

    async def dead() -> bool:
        return bool(await pair.other.dead_letters.list("a.b"))

    async def idle() -> bool:
        return (await pair.other.history.figures()).waiting == 0

    await poll(processed)
    await pair.other.history.replay("a.b", to_group="default", speed=None).wait()
    await poll(dead)
    await poll(idle)
    assert [event.status for event in (await pair.other.history.list("a.b")).events] == ["processed"]


async def test_subscriptions_that_opted_out_get_no_replays(pair: Pair) -> None:
    live: list[Any] = []
    kept: list[Any] = []
    options: dict[str, Any] = {"replays": False}
    await pair.other.subscribe("a.b", live.append, group="live", **options).ready()
    await pair.other.subscribe("a.b", kept.append, durable=True, group="kept", **options).ready()
    await pair.publish("a.b", 1)
    await pair.publish("a.b", 2, key="k")
    await poll(lambda: _long(live, 1))
    await poll(lambda: _long(kept, 1))
    await pair.recorded(2)
    for group in ("live", "kept"):
        last = await pair.other.history.replay("a.b", to_group=group, speed=None).wait()
        assert last.sent == 2
    await pair.publish("a.b", 3)
    await pair.publish("a.b", 4, key="k")
    await poll(lambda: _long(live, 2))
    await poll(lambda: _long(kept, 2))
    assert (live, kept) == ([1, 3], [2, 4])


async def test_a_replay_to_a_group_that_nobody_has_says_so(pair: Pair) -> None:
    await pair.publish("a.b", 1)
    await pair.publish("a.b", 2, key="k")
    await pair.publish("a.c", 3)
    await pair.recorded(3)
    with pytest.raises(
        NotFoundError, match=r"nobody is in the group 'typo' of 'a\..', so nothing was .* 3 were skip"
    ) as told:
        await pair.other.history.replay(to_group="typo", speed=None).wait()
    assert told.value.details == {"group": "typo", "skipped": 3}
    empty = await pair.other.history.replay("b.b", to_group="typo", speed=None).wait()
    assert (empty.total, empty.done) == (0, True)


async def test_a_durable_group_at_rest_gets_its_replay_later(pair: Pair) -> None:
    heard: list[Any] = []
    options: dict[str, Any] = {"durable": True, "group": "resting"}
    resting = pair.other.subscribe("a.b", heard.append, **options)
    await resting.ready()
    await pair.publish("a.b", 1, key="k")
    await poll(lambda: _long(heard, 1))
    await pair.recorded(1)
    await resting.unsubscribe()
    last = await pair.other.history.replay("a.b", to_group="resting", speed=None).wait()
    assert (last.sent, last.skipped) == (1, 0)
    await pair.other.subscribe("a.b", heard.append, **options).ready()
    await poll(lambda: _long(heard, 2))


async def test_a_replay_goes_on_after_an_event_that_cannot_be_stored(
    redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    async with (
        EventSystem(redis_url, service="shop", settings=QUIET) as events,
        await events.record(f"sqlite:///{tmp_path / 'history.db'}"),
    ):
        again: list[Any] = []
        await events.subscribe(
            "a.b", lambda data, event: again.append(data) if event.replay else None, durable=True, group="g"
        ).ready()
        for key in ("one", "taken", "two"):
            await events.publish("a.b", key, key=key)
        await poll(lambda: _processed(events, 3))
        redis_server.command("SET", "event_stream:a.b:taken", "x")
        last = await events.history.replay("a.b", to_group="g", speed=None).wait()
        assert (last.sent, last.skipped) == (2, 1)
        await poll(lambda: _long(again, 2))
        assert sorted(again) == ["one", "two"]


async def _processed(events: EventSystem, count: int) -> bool:
    return len((await events.history.list("a.b", status="processed")).events) == count


async def test_events_are_replayed_to_a_topic_of_ones_own(pair: Pair) -> None:
    live: list[Any] = []
    kept: list[Any] = []
    await pair.publish("a.live", 1)
    await pair.publish("a.kept", 2, 3, key="k")
    await pair.recorded(3)
    for system in (pair.other, pair.recorder):
        await system.subscribe("again.here", lambda data, event: live.append((data, event.key))).ready()
    await pair.other.subscribe("again.here", lambda data, event: kept.append((data, event.key)), durable=True).ready()
    last = await pair.other.history.replay("a.*", to_topic="again.here", speed=None).wait()
    assert last.sent == 3
    await poll(lambda: _long(live, 2))
    await poll(lambda: _long(kept, 2))
    assert live == [(1, ""), (1, "")]
    assert kept == [(2, "k"), (3, "k")]


async def test_a_replay_keeps_the_pace_by_a_factor(pair: Pair) -> None:
    seen: list[float] = []
    await pair.publish("a.b", 1)
    await asyncio.sleep(0.6)
    await pair.publish("a.b", 2)
    await pair.recorded(2)
    await pair.other.subscribe("a.b", lambda data: seen.append(time.monotonic()), group="again").ready()
    first, second = (await pair.other.history.list("a.b", oldest_first=True)).events
    apart = (second.time - first.time).total_seconds()
    begun = time.monotonic()
    await pair.other.history.replay("a.b", to_group="again", speed=2.0).wait()
    await poll(lambda: _long(seen, 2))
    assert apart > 0.55
    assert seen[1] - begun > apart / 2 - 0.01


async def test_what_happens_during_a_replay_is_no_part_of_it(pair: Pair) -> None:
    seen: list[Any] = []
    await pair.publish("a.b", 1)
    await asyncio.sleep(0.5)
    await pair.publish("a.b", 2)
    await pair.recorded(2)
    await pair.other.subscribe("a.b", lambda data, event: seen.append((data, bool(event.replay))), group="g").ready()
    async with pair.other.history.replay("a.b", to_group="g", speed=0.5) as replay:
        await anext(replay)
        await asyncio.sleep(0.05)
        await pair.recorder.publish("a.b", 3)
        await pair.recorded(3)
        last = await replay.wait()
    assert (last.sent, last.total) == (2, 2)
    await poll(lambda: _long(seen, 3))
    assert sorted(seen) == [(1, True), (2, True), (3, False)]


async def test_a_long_page_is_read_a_few_events_at_a_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them may be large."""
    await pair.publish("a.b", *range(150))
    await pair.recorded(150)
    select, asked = SqlEventStore.select, list[int]()

    async def watched(store: SqlEventStore, *given: Any, limit: int, **options: Any) -> Any:
        asked.append(limit)
        return await select(store, *given, limit=limit, **options)

    monkeypatch.setattr(SqlEventStore, "select", watched)
    found = await pair.other.history.list("a.b", limit=140)
    assert max(asked) <= 64
    assert [event.data for event in found.events] == [*reversed(range(10, 150))]
    rest = await pair.other.history.list("a.b", cursor=found.cursor)
    assert [event.data for event in rest.events] == [*reversed(range(10))]
    assert rest.cursor == ""


async def test_a_replay_tells_how_far_it_is_and_ends_when_it_is_closed(pair: Pair) -> None:
    seen: list[Any] = []
    await pair.publish("a.b", 1)
    await asyncio.sleep(0.3)
    await pair.publish("a.b", 2, 3)
    await pair.recorded(3)
    await pair.other.subscribe("a.b", seen.append, group="again").ready()
    told: list[ReplayProgress] = []
    async with pair.other.history.replay("a.b", to_group="again", speed=0.02) as replay:
        async for progress in replay:
            told.append(progress)
            if progress.sent:
                break
    assert told[0]._replace(id="") == ReplayProgress("", 0, 0, 3, None, done=False)
    assert (told[-1].sent, told[-1].done) == (1, False)
    assert told[-1].time is not None
    await asyncio.sleep(0.5)
    assert seen == [1]


async def test_what_nobody_takes_is_skipped_and_counted(pair: Pair) -> None:
    await pair.publish("a.b", 1, 2)
    await pair.publish("a.c", 3)
    await pair.other._publish_system("system.warning", {"kind": "x"})
    await pair.recorded(4)
    await pair.other.subscribe("a.c", lambda data: None, group="some").ready()
    last = await pair.other.history.replay(to_group="some", speed=None).wait()
    assert (last.sent, last.skipped, last.total, last.done) == (1, 3, 4, True)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({}, InvalidArgumentError, "say to whom: to_group= one subscription group, or to_topic="),
        ({"to_group": "g", "to_topic": "a.b"}, InvalidArgumentError, "say to whom"),
        ({"to_group": "g", "speed": 0}, InvalidArgumentError, "speed is a factor above 0"),
        ({"to_group": "g", "speed": float("nan")}, InvalidArgumentError, "speed is a factor above 0"),
        ({"to_topic": "system.x"}, InvalidTopicError, "published by the system only"),
        ({"to_topic": "a.*"}, InvalidTopicError, "topic"),
        ({"to_group": "g", "types": "a b"}, InvalidTopicError, "pattern"),
    ],
)
async def test_a_bad_replay_is_refused_at_once(asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        EventSystem().history.replay(**asked)


async def _long(items: list[Any], count: int) -> bool:
    return len(items) >= count


async def test_what_is_deleted_while_it_is_read_is_not_there(
    systems: tuple[EventSystem, EventSystem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, other = systems
    store = event_store(f"sqlite:///{tmp_path / 'history.db'}")
    read = store.get

    async def gone(event_id: str) -> RecordedEvent | None:
        await store.delete([event_id])
        return await read(event_id)

    async with await recorder.record(store):
        await other.publish("a.large", b"x" * BIG)
        await other.publish("a.small", 2)

        async def both_are_there() -> bool:
            return (await other.history.figures()).events == 2

        await poll(both_are_there)
        monkeypatch.setattr(store, "get", gone)
        page = await other.history.list()
        assert [event.data for event in page.events] == [2]


async def test_what_takes_more_room_in_json_is_told_in_several_answers(pair: Pair) -> None:
    await pair.publish("a.b", *["\x01" * 60_000] * 4)  # six bytes each in JSON
    await pair.recorded(4)
    asked, json = "system.history.list", "application/json"
    request = compose(REQUEST, asked, {}, 30_000, pair.other._instance, content_type=json, by_system=True)
    told = reply_value(await pair.other._requester.exchange(request, idempotent=True))
    assert len(told["events"]) == 1
    assert told["cursor"]
