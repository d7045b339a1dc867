"""From the tape into history, over both kinds of brokers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import RedisServer
from tieline import EventSystem, RetryPolicy, Settings, codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import EVENT
from tieline.errors import UnavailableError
from tieline.history.recorder import Recorder
from tieline.history.store import EventStore, Order, RecordedEvent, Retention, Selection
from tieline.history.stores import event_store
from tieline.history.tape import Kind

ALL = Selection()


async def poll(true: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


QUIET = Settings(system_events=False)
"""What the system says of itself would be recorded too."""


class Place:
    """A broker, an event system there, and a history."""

    def __init__(self, events: EventSystem, store: EventStore, url: str) -> None:
        self.events = events
        self.store = store
        self.url = url

    def recorder(self, name: str = "one", **options: Any) -> Recorder:
        store = options.pop("store", self.store)
        return Recorder(name, lambda: self.events._instance.port.tape, store, lambda: self.events.clock, **options)

    async def rows(self, **asked: Any) -> list[RecordedEvent]:
        return await self.store.select(Selection(**asked), Order.BROKER, limit=1_000)

    async def has(self, count: int, **asked: Any) -> list[RecordedEvent]:
        await poll(lambda: self._has(count, **asked))
        return await self.rows(**asked)

    async def _has(self, count: int, **asked: Any) -> bool:
        return len(await self.rows(**asked)) >= count


@pytest.fixture(params=["memory", "file", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    redis = request.param == "redis"
    kept = tmp_path / "broker.db" if request.param == "file" else ""
    url = request.getfixturevalue("redis_url") if redis else f"memory://{kept}"
    store = event_store(f"sqlite:///{tmp_path / 'history.db'}")
    async with EventSystem(url, service="shop", settings=QUIET) as events:
        yield Place(events, store, url)
        await store.aclose()


@contextlib.asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[Recorder]:
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.aclose()


async def test_live_and_stored_events_are_recorded_in_their_order(place: Place) -> None:
    async with running(place.recorder()):
        await place.events.publish("a.live", {"n": 1}, headers={"x": "y"}, correlation_id="chain")
        await place.events.publish("a.keyed", {"n": 2}, key="k")
        await place.events.publish("a.lane", {"n": 3}, durable=True, priority=8, ttl=60)
        live, keyed, lane = await place.has(3)
    assert (live.type, live.status, live.stream, live.headers) == ("a.live", "processed", "", {"x": "y"})
    assert live.source.startswith("shop/")
    assert live.correlation_id == "chain"
    assert live.data == b"\x81\xa1n\x01"
    assert (keyed.type, keyed.status, keyed.key) == ("a.keyed", "pending", "k")
    assert keyed.stream.endswith("event_stream:a.keyed:k")
    assert (lane.type, lane.priority, lane.expires_at) == ("a.lane", 8, lane.time + 60_000)
    assert live.position < keyed.position < lane.position


async def test_nothing_is_written_down_while_nobody_records(place: Place) -> None:
    await place.events.publish("before.live", 1)
    await place.events.publish("before.kept", 1, key="k")
    async with running(place.recorder()):
        await place.events.publish("after", 1)
        assert [row.type for row in await place.has(1)] == ["after"]


async def test_events_wait_for_a_recorder_that_was_there(place: Place) -> None:
    async with running(place.recorder()):
        pass
    await place.events.publish("a", 1)
    await place.events.publish("b", 1, key="k")
    await asyncio.sleep(0.05)
    figures = await place.recorder().figures()
    assert (figures.waiting, figures.lost) == (2, 0)
    assert 0 < figures.lag < 30
    async with running(place.recorder("two")) as recorder:
        assert [row.type for row in await place.has(2)] == ["a", "b"]
        await poll(lambda: _is_idle(recorder))
        figures = await recorder.figures()
        assert (figures.recorded, figures.lag, figures.trouble) == (2, 0.0, "")


async def test_only_the_topics_asked_for_are_recorded_by_all(place: Place) -> None:
    async with running(place.recorder(topics=["audit.>", "*.paid"])):
        pass
    async with running(place.recorder("two")):
        for topic in ("audit.a.b", "orders.paid", "orders.created", "last.paid"):
            await place.events.publish(topic, 1)
        assert [row.type for row in await place.has(3)] == ["audit.a.b", "orders.paid", "last.paid"]


async def test_what_the_system_publishes_has_no_payload_in_history(place: Place) -> None:
    async with running(place.recorder()):
        await place.events._publish_system("system.warning", {"kind": "secret"})
        (row,) = await place.has(1)
    assert (row.type, row.data, row.content_type) == ("system.warning", b"", "")


async def test_a_stored_event_is_processed_when_every_group_has_handled_it(place: Place) -> None:
    handled = asyncio.Event()
    one = place.events.subscribe("a.b", lambda data: None, durable=True, group="one")
    two = place.events.subscribe("a.b", lambda data: handled.wait(), durable=True, group="two")
    await asyncio.gather(one.ready(), two.ready())
    async with running(place.recorder()):
        await place.events.publish("a.b", 1, key="k")
        await place.events.publish("a.b", 2, durable=True)
        await place.has(2)
        await asyncio.sleep(1.5)
        assert [row.status for row in await place.rows()] == ["pending", "pending"]
        handled.set()
        await place.has(2, status="processed")


@pytest.mark.parametrize("key", ["k", None])
async def test_a_dead_letter_is_failed_and_pending_again_when_it_is_put_back(place: Place, key: str | None) -> None:
    fails = True

    async def handle(data: Any) -> None:
        if fails:
            raise ValueError("no good")

    policy = RetryPolicy(max_attempts=2, backoff=0.01)
    options: Any = {"durable": True, "retry": policy, "on_poison": "dead_letter"}
    await place.events.subscribe("a.b", handle, **options).ready()
    async with running(place.recorder()):
        await place.events.publish("a.b", 1, key=key, durable=True)
        (row,) = await place.has(1, status="failed")
        assert (row.retry_count, row.error_msg) == (1, "ValueError: no good")
        fails = False
        letters = await place.events.dead_letters.list("a.b")
        await place.events.dead_letters.redrive("a.b", [letters[0].id])
        (row,) = await place.has(1, status="processed")
        assert row.error_msg == "ValueError: no good"
        assert len(await place.rows()) == 1


async def test_what_stops_its_key_is_failed_until_it_goes_on(place: Place) -> None:
    fails = True

    async def handle(data: Any) -> None:
        if fails:
            raise ValueError("stop")

    await place.events.subscribe("a.b", handle, durable=True, retry=RetryPolicy(max_attempts=1)).ready()
    async with running(place.recorder()):
        await place.events.publish("a.b", 1, key="k")
        (row,) = await place.has(1, status="failed")
        assert row.error_msg == "ValueError: stop"
        fails = False
        await place.events.parked.unpark("a.b", "k")
        await place.has(1, status="processed")


async def test_recorders_share_the_work_and_write_each_event_once(place: Place, tmp_path: Path) -> None:
    other = event_store(f"sqlite:///{tmp_path / 'history.db'}")
    async with running(place.recorder("one")) as one, running(place.recorder("two", store=other)) as two:
        for batch in range(20):
            await asyncio.gather(*(place.events.publish("a.b", batch) for _ in range(50)))
        await place.has(1_000)
        await poll(lambda: _is_idle(one))
        figures = [await one.figures(), await two.figures()]
        assert sum(each.recorded for each in figures) == 1_000
        assert await place.store.count(ALL) == 1_000


async def test_history_is_trimmed_by_its_recorder(place: Place) -> None:
    async with running(place.recorder()):
        await asyncio.gather(*(place.events.publish("a.b", n) for n in range(10)))
        await place.has(10)
    async with running(place.recorder("two", retention=Retention(rows=4))):
        await poll(lambda: _counts(place.store, 4))


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_planned_event_is_recorded_once_when_its_time_has_come(place: Place, key: str | None) -> None:
    async with running(place.recorder()):
        receipt = await place.events.publish("a.b", 1, key=key, delay=3600)
        await asyncio.sleep(0.1)
        assert await place.rows() == []
        await place.events.schedules.reschedule(receipt.id, delay=0)
        (row,) = await place.has(1)
        assert (row.type, row.key, row.status) == ("a.b", key or "", "pending" if key else "processed")


class Failing:
    """A store that can be switched off, and that may die after it has written."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.away = False
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, rows: Any) -> None:
        self.tries += 1
        if self.away:
            raise UnavailableError("SQL is down")
        await self._store.write(rows)


async def test_while_sql_is_away_events_wait_and_nothing_else_does(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = Failing(place.store)
    got: list[int] = []
    await place.events.subscribe("a.b", got.append).ready()
    async with running(place.recorder(store=store)) as recorder:
        store.away = True
        for batch in range(10):
            await asyncio.gather(*(place.events.publish("a.b", batch) for _ in range(20)))
        await poll(lambda: _tried(store))
        await poll(lambda: _all_of(got, 200))
        figures = await recorder.figures()
        assert figures.trouble == "UNAVAILABLE: SQL is down"
        assert figures.waiting == 200
        store.away = False
        await place.has(200)
        await poll(lambda: _is_idle(recorder))
    said = [record.message for record in caplog.records if "on the tape" in record.message]
    assert said == ["nothing can be written, and events wait on the tape: UNAVAILABLE: SQL is down"]


async def test_what_a_recorder_wrote_and_did_not_acknowledge_is_not_doubled(place: Place) -> None:
    class Dying(Failing):
        async def write(self, rows: Any) -> None:
            await self._store.write(rows)
            self.tries += len(rows)
            await asyncio.Event().wait()  # it never comes to acknowledge

    store = Dying(place.store)
    first = place.recorder(store=store)
    await first.start()
    await asyncio.gather(*(place.events.publish("a.b", n, key="k") for n in range(5)))
    await place.has(1)
    await first.aclose()
    assert store.tries > 0
    async with running(place.recorder("two", lease=0.2)) as second:
        await place.has(5)
        await poll(lambda: _is_idle(second))
        figures = await second.figures()
    assert figures.recorded == 5
    assert (figures.waiting, figures.lost) == (0, 0)
    assert await place.store.count(ALL) == 5


async def test_an_event_without_an_id_has_one_row_however_often_it_is_read(place: Place) -> None:
    class Dying(Failing):
        async def write(self, rows: Any) -> None:
            await self._store.write(rows)
            await asyncio.Event().wait()  # it never comes to acknowledge

    first = place.recorder(store=Dying(place.store))
    await first.start()
    for n in range(3):  # as a foreign publisher does
        event = Envelope(kind=EVENT, topic="a.b", time=1_700_000_000_000, data=codec.encode(n))  # type: ignore[arg-type]
        await place.events._instance.running_port.publish(event, ())
    before = {row.id for row in await place.has(1)}
    await first.aclose()
    async with running(place.recorder("two", lease=0.2)) as second:
        rows = await place.has(3)
        await poll(lambda: _is_idle(second))
    assert await place.store.count(ALL) == 3
    assert before <= {row.id for row in rows}
    assert sorted(codec.decode(row.data) for row in rows) == [0, 1, 2]
    assert all(row.id.startswith("a.b:") and row.correlation_id == row.id for row in rows)


async def test_what_the_tape_cannot_hold_is_counted_as_lost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieline._contract.contract.LIMIT_TAPE_EVENTS", 64)
    async with running(place.recorder()):
        pass
    for n in range(100):
        await place.events.publish("a.b", n, key=str(n))
    figures = await place.recorder().figures()
    assert figures.lost + figures.waiting == 100
    assert 64 <= figures.waiting <= 66
    async with running(place.recorder("two")):
        rows = await place.has(figures.waiting)
    assert [row.key for row in rows] == [str(n) for n in range(figures.lost, 100)]


async def test_the_tape_is_bounded_by_bytes_as_well(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large events give way to later ones, stored and live ones alike; the next recorder gets the rest."""
    monkeypatch.setattr("tieline._contract.contract.LIMIT_TAPE_BYTES", 200_000)
    async with running(place.recorder()):
        pass
    for n in range(60):
        await place.events.publish("a.b", b"x" * 10_000, key=str(n) if n % 2 else None, schema_version=str(n))
    figures = await place.recorder().figures()
    assert figures.lost + figures.waiting == 60
    assert 15 <= figures.waiting <= 20
    async with running(place.recorder("two")) as recorder:
        rows = await place.has(figures.waiting)
        await poll(lambda: _is_idle(recorder))
        assert [int(row.schema_version) for row in rows] == list(range(figures.lost, 60))


async def test_what_is_in_history_counts_no_more_for_the_bound(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieline._contract.contract.LIMIT_TAPE_BYTES", 200_000)
    tape = place.events._instance.port.tape
    await tape.register()
    for n in range(15):
        await place.events.publish("a.b", b"x" * 10_000, key=str(n))
    entries = await tape.read("one", wait=0)
    await tape.acknowledge([entry.id for entry in entries[1:]])
    for n in range(15):
        await place.events.publish("a.b", b"x" * 10_000, key=str(n))
    figures = await tape.figures()
    assert (len(entries), figures.waiting, figures.lost) == (15, 16, 0)


async def test_what_is_missing_in_history_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tieline._contract.contract.LIMIT_TAPE_BYTES", 100_000)
    store, told = Failing(place.store), list[int]()
    store.away = True
    async with running(place.recorder(store=store, on_lost=told.append)) as recorder:
        await place.events.publish("a.b", 1)
        await poll(lambda: _tried(store))  # from now on it reads no more, and what it has read is not lost
        for n in range(20):
            await place.events.publish("a.b", b"x" * 10_000, key=str(n))
        await recorder.look()
        lost = (await recorder.figures()).lost
        assert lost > 5
        assert recorder.latest is not None
        assert (recorder.latest.waiting, recorder.latest.lost) == (20 - lost, lost)
        await recorder.look()  # it is told once
    assert told == [lost]


async def test_an_event_larger_than_the_tape_may_hold_stays_until_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieline._contract.contract.LIMIT_TAPE_BYTES", 1_000)
    async with running(place.recorder()):
        pass
    for n in range(3):
        await place.events.publish("a.b", b"x" * 10_000, schema_version=str(n))
    figures = await place.recorder().figures()
    assert (figures.waiting, figures.lost) == (1, 2)


async def test_an_event_that_the_database_refuses_is_left_out_alone(place: Place) -> None:
    from tieline.errors import InvalidPayloadError

    class Picky(Failing):
        async def write(self, rows: Any) -> None:
            if any(row.key == "bad" for row in rows):
                raise InvalidPayloadError("not this one")
            await self._store.write(rows)

    async with running(place.recorder()):
        pass
    for key in ("a", "b", "bad", "c", "d"):
        await place.events.publish("a.b", 1, key=key)
    async with running(place.recorder("two", store=Picky(place.store))) as recorder:
        rows = await place.has(4)
        await poll(lambda: _is_idle(recorder))
        assert (await recorder.figures()).refused == 1
    assert [row.key for row in rows] == ["a", "b", "c", "d"]


# --- Redis alone ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def on_redis(server: RedisServer, tmp_path: Path) -> AsyncIterator[Place]:
    store = event_store(f"sqlite:///{tmp_path / 'history.db'}")
    async with EventSystem(server.url, service="shop", settings=QUIET) as events:
        yield Place(events, store, server.url)
        await store.aclose()


async def test_what_a_plain_producer_stored_is_recorded_once_when_it_is_given_out(
    redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    async with on_redis(redis_server, tmp_path) as place:
        got = asyncio.Event()
        for group in ("one", "two"):
            await place.events.subscribe("a.b", lambda data: got.set(), durable=True, group=group).ready()
        async with running(place.recorder()):
            redis_server.command("XADD", "event_stream:a.b:k", "1795300295373-4", "text", "hello", "number", "7")
            redis_server.command("PUBLISH", "group_change", "register:a.b:k")
            (row,) = await place.has(1, status="processed")
            await got.wait()
            await asyncio.sleep(0.2)
            assert len(await place.rows()) == 1
    assert (row.id, row.type, row.key) == ("a.b:k:1795300295373-4", "a.b", "k")
    assert (row.stream, row.entry) == ("event_stream:a.b:k", "1795300295373-4")
    assert codec.decode(row.data) == {"text": "hello", "number": "7"}


async def test_a_recorder_goes_on_after_redis_was_restarted(tmp_path: Path) -> None:
    with RedisServer(persist=True) as server:
        async with on_redis(server, tmp_path) as place:
            store = Failing(place.store)
            async with running(place.recorder(store=store)):
                store.away = True
                await asyncio.gather(*(place.events.publish("a.b", n, key="k") for n in range(20)))
                await poll(lambda: _tried(store))
                server.restart()
                store.away = False
                await place.events.publish("a.b", 20, key="k", wait_for_connection=20.0)
                rows = await place.has(21)
    assert [codec.decode(row.data) for row in rows] == list(range(21))


async def test_a_recorder_registers_again_when_redis_has_lost_everything(tmp_path: Path) -> None:
    with RedisServer() as server:
        async with on_redis(server, tmp_path) as place, running(place.recorder()):
            await place.events.publish("a.b", 1)
            await place.has(1)
            server.restart()
            await poll(lambda: _records(place))
            assert len(await place.rows()) > 1


async def test_an_entry_that_cannot_be_read_holds_up_no_other_one(place: Place) -> None:
    async with running(place.recorder(lease=0.4)):
        tape = place.events._instance.port.tape
        if place.url.startswith("redis"):
            await tape._call("XADD", "tl:{rec}:tape", "*", "live", "no frame")
        else:
            await tape._writer.submit(lambda book: book.tape.note(Kind.LIVE, b"\xff"))
        await place.events.publish("a.b", 1)
        await place.has(1)
        await poll(lambda: _nothing_waits(tape))


async def test_something_else_under_the_names_of_the_tape_stops_no_event(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with on_redis(redis_server, tmp_path) as place:
        seen: list[Any] = []
        for durable in (False, True):
            await place.events.subscribe("a.b", seen.append, durable=durable).ready()
        for name in (contract.recording_key("tl:"), contract.tape_key("tl:")):
            redis_server.command("SET", name, "x")
        await place.events.publish("a.b", 1)
        await place.events.publish("a.b", 2, key="k")
        await place.events.publish("a.b", 3, delay=0.01)
        await poll(lambda: _has_all(seen, 3))


async def test_redis_that_has_lost_everything_does_not_change_what_is_recorded(tmp_path: Path) -> None:
    with RedisServer() as server:
        async with on_redis(server, tmp_path) as place, running(place.recorder(topics=["a.b"])):
            server.command("FLUSHALL")
            await poll(lambda: _knows(server))
            assert (await place.events._instance.port.tape.figures()).topics == ("a.b",)


async def test_recorders_that_are_gone_are_forgotten(
    redis_server: RedisServer, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tieline.transports.redis_tape._FORGET_MS", 1)
    async with on_redis(redis_server, tmp_path) as place:
        tape = place.events._instance.port.tape
        await tape.register()
        for name in ("holds", "gone"):
            await place.events.publish("a.b", 1)
            (entry,) = await tape.read(name, wait=0)
        await tape.acknowledge([entry.id])
        consumers = ("XINFO", "CONSUMERS", "tl:{rec}:tape", "recorders")
        assert {_name(each) for each in await tape._call(*consumers)} == {"holds", "gone"}
        await asyncio.sleep(0.05)
        assert await tape.read("asks", wait=0, idle=60.0) == []
        assert {_name(each) for each in await tape._call(*consumers)} - {"asks"} == {"holds"}


def _name(consumer: Any) -> str:
    """RESP3 tells a map."""
    return (consumer[b"name"] if isinstance(consumer, dict) else consumer[1]).decode()


async def _records(place: Place) -> bool:
    with contextlib.suppress(UnavailableError):
        await place.events.publish("a.b", 2, wait_for_connection=20.0)
    return len(await place.rows()) > 1


async def _nothing_waits(tape: Any) -> bool:
    return (await tape.figures()).waiting == 0


async def _has_all(seen: list[Any], count: int) -> bool:
    return len(seen) == count


async def _knows(server: RedisServer) -> bool:
    return server.command("HEXISTS", contract.recording_key("tl:"), "topics") == ":1"


async def _is_idle(recorder: Recorder) -> bool:
    return (await recorder.figures()).waiting == 0


async def _counts(store: EventStore, count: int) -> bool:
    return await store.count(ALL) == count


async def _all_of(got: list[int], number: int) -> bool:
    return len(got) == number


async def _tried(store: Failing) -> bool:
    return store.tries > 2
