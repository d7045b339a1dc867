"""Planned events inside one process: nothing is lost with it, nothing is early, and each goes out once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.suite.seen import Seen, until
from tieline import ConflictError, EventSystem, OverloadedError, RetryPolicy, ScheduleStatus, Settings, testing
from tieline._contract import contract
from tieline.envelope import new_id
from tieline.schedules.agenda import Plan, Way
from tieline.transports import sqlite_agenda, sqlite_mail_commit, sqlite_mail_schema
from tieline.transports import sqlite_agenda_book as desk
from tieline.transports import sqlite_agenda_rows as rows
from tieline.transports import sqlite_roster_book as roster
from tieline.transports.memory import MemoryBroker, MemoryTransport
from tieline.transports.sqlite_mail_book import MailBook
from tieline.transports.sqlite_mail_commit import MailCommitter, Operation

HERE = Path(__file__).parent
HOUR, DAY = 3_600.0, 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where results are kept; durable and planned events are in a file beside it."""
    return tmp_path / "events.db"


class Place:
    """A broker on a file, or in memory, whose clock is turned by hand."""

    def __init__(self, mail: Path | None, clock: testing.Clock) -> None:
        self.clock = clock
        self.broker = MemoryBroker(clock=clock, mail=mail)
        self.systems: list[EventSystem] = []

    def system(self) -> EventSystem:
        self.systems.append(EventSystem(service="test", transport=MemoryTransport(self.broker)))
        return self.systems[-1]

    async def advance(self, seconds: float) -> None:
        """Turn the clock; the thread of a file is waited for."""
        end = self.clock.now() + round(seconds * 1000)
        while self.clock.now() < end:
            await self.clock.advance(min(0.5, (end - self.clock.now()) / 1000))
            await self.broker.mail.topics()
            await self.clock.settle()


@asynccontextmanager
async def place(mail: Path | None = None, clock: testing.Clock | None = None) -> AsyncIterator[Place]:
    made = Place(mail, clock or testing.Clock())
    try:
        yield made
    finally:
        for system in made.systems:
            await system.aclose(0)
        await made.broker.aclose()


def plan(way: Way = Way.LIVE, due: int = 0, **changes: Any) -> Plan:
    return Plan(new_id(), "t", way, "", due, 5, 0, 1, 0, 0, "", 0, 0, b"x")._replace(**changes)


# --- when -------------------------------------------------------------------------------------------------------------


async def test_what_is_planned_comes_in_its_order_and_never_early() -> None:
    async with place() as here:
        system, seen = here.system(), Seen()

        async def note(data: float) -> None:
            seen.append((data, here.clock.now()))

        await system.subscribe("t", note).ready()
        start = here.clock.now()
        for seconds in (40 * DAY, 0.001, 7.0, 400 * DAY, 1.5, 1.501):
            await system.publish("t", seconds, delay=seconds)
        for priority in (1, 10, 5):
            await system.publish("t", priority, delay=9.0, priority=priority)
        await here.clock.advance(500 * DAY)
        assert [data for data, _ in seen] == [0.001, 1.5, 1.501, 7.0, 10, 5, 1, 40 * DAY, 400 * DAY]
        assert [when - start for data, when in seen if data not in (10, 5, 1)] == [
            1, 1_500, 1_501, 7_000, 40 * DAY * 1000, 400 * DAY * 1000,
        ]  # fmt: skip


@pytest.mark.parametrize("turns", range(12))
async def test_what_is_told_while_a_scheduler_looks_is_not_forgotten(turns: int) -> None:
    async with place() as here:
        system, seen = here.system(), Seen()
        await system.subscribe("t", seen.take).ready()
        await system.publish("other", 1, delay=0.001)
        await here.clock.advance(1)
        scheduler = system._instance.scheduler
        assert scheduler is not None
        scheduler.look()
        for _ in range(turns):
            await asyncio.sleep(0)
        await system.publish("t", 1, delay=1.0)
        await here.clock.advance(1.0)
        assert list(seen) == [1]


async def test_nothing_happens_while_nothing_is_due() -> None:
    async with place() as here:
        system = here.system()
        await system.publish("t", 1, delay=2 * HOUR)
        await here.clock.settle()
        looks = _count_looks(here)
        await here.clock.advance(HOUR - 1)
        assert looks == []


def _count_looks(here: Place) -> list[str]:
    looks, fire = list[str](), here.broker.agenda.fire

    def look(instance: str) -> Any:
        looks.append(instance)
        return fire(instance)

    here.broker.agenda.fire = look  # type: ignore[method-assign]
    return looks


# --- several systems --------------------------------------------------------------------------------------------------


async def test_one_of_several_systems_fires_and_the_next_one_when_it_is_gone() -> None:
    async with place() as here:
        systems, seen = [here.system() for _ in range(3)], Seen()
        for system in systems:
            await system.subscribe("t", seen.take, group="g").ready()
        looks = _count_looks(here)
        for number in range(20):
            await systems[0].publish("t", number, delay=1.0 + number / 10)
        await here.clock.advance(2.0)
        assert list(seen) == list(range(11))
        holder, count = Counter(looks).most_common(1)[0]
        assert count > 2 * sum(Counter(looks).values()) / 3
        gone = next(system for system in systems if system.instance == holder)
        await gone.aclose(0)
        await here.clock.advance(1.0)
        assert list(seen) == list(range(20))


async def test_a_system_that_was_killed_fires_nothing_and_another_one_does() -> None:
    async with testing.Broker() as broker:
        planner, other = broker.system(), broker.system()
        seen = Seen()
        await planner.publish("t", 1, delay=1.0)
        await broker.faults.kill(planner)
        await broker.clock.advance(HOUR)
        other.subscribe("t", seen.take)
        await other.start()
        await broker.clock.settle()
        assert list(seen) == [1]


async def test_who_is_killed_while_it_has_the_role_is_replaced_at_once() -> None:
    async with testing.Broker() as broker:
        planner, other, seen = await broker.system().start(), broker.system(), list[int]()
        await other.subscribe("t", lambda data: seen.append(broker.clock.now())).ready()
        now = broker.clock.now()
        for seconds in (1.0, 2.0):
            await planner.publish("t", 1, delay=seconds)
        await broker.clock.advance(1.0)
        assert broker._memory.agenda._holder == planner.instance
        await broker.faults.kill(planner)
        await broker.clock.advance(10.0)
        assert [when - now for when in seen] == [1_000, 2_000]


# --- restarts ---------------------------------------------------------------------------------------------------------


async def test_what_became_due_while_nobody_ran_is_late_rather_than_lost(tmp_path: Path) -> None:
    mail, clock, seen = tmp_path / "mail", testing.Clock(), Seen()
    async with place(mail, clock) as here:
        system = here.system()
        for name, options in (("live", {}), ("key", {"key": "k"}), ("lane", {"durable": True})):
            await system.publish("t", name, delay=60.0, **options)
        expired = await system.publish("t", "expired", delay=60.0, ttl=5.0)
        later = await system.publish("t", "later", delay=2 * HOUR)
    await clock.advance(HOUR)
    async with place(mail, clock) as here:
        system = here.system()
        system.subscribe("t", seen.take)
        system.subscribe("t", seen.take, durable=True)
        await system.start()
        await until(lambda: len(seen) == 3)
        assert sorted(seen) == ["key", "lane", "live"]
        assert (await system.schedules.get(expired.id)).status is ScheduleStatus.EXPIRED
        assert (await system.schedules.get(later.id)).status is ScheduleStatus.PENDING
        assert (await system.schedules.list("delivered")).total == 3
        await here.advance(HOUR)
        await until(lambda: len(seen) == 4)


async def test_a_system_that_begins_anew_in_a_new_loop_goes_on(file: Path) -> None:
    events, seen = EventSystem(f"memory://{file}"), Seen()
    await asyncio.to_thread(events.subscribe, "t", seen.take)  # here, where a loop runs, it would begin

    async def use(number: int) -> None:
        await events.publish("t", number, delay=0.02)
        await until(lambda: number in seen)  # once more if the loop ended before it was marked

    for number in range(2):
        await asyncio.to_thread(asyncio.run, use(number))


async def test_a_process_that_is_killed_loses_nothing_and_stores_nothing_twice(file: Path) -> None:
    planned, seen, kills = set[str](), Counter[str](), 3
    for _ in range(kills):
        lines = await _plan_until_killed(file)
        planned.update(name for what, name in lines if what == "planned")
        seen.update(name for what, name in lines if what == "seen")
    assert len(planned) > 300
    with contextlib.closing(sqlite3.connect(f"{file}-mail")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with EventSystem(f"memory://{file}", settings=Settings()) as events:
        stored = Seen()

        async def note(data: str) -> None:
            seen[data] += 1

        await events.subscribe("live", note).ready()
        await events.subscribe("t", stored.take, durable=True).ready()
        while (await events.schedules.list()).total:
            await asyncio.sleep(0.02)
        durable = {name for name in planned if name.startswith("durable")}
        await until(lambda: durable <= set(stored))
        assert max(Counter(stored).values()) == 1, "stored twice"
        # What was published live in the last moment of a process goes out again; what was planned in it may be unheard.
        lost = {name for name in planned - durable if name not in seen}
        assert not lost
        assert sum(count - 1 for count in seen.values()) <= kills * contract.LIMIT_FIRE_EVENTS


async def _plan_until_killed(file: Path) -> list[tuple[str, str]]:
    """Returns what a process said that was killed: what is planned, and what it saw."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "agenda_planner.py"), str(file), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(300)]
    child.kill()
    lines += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    assert len(lines) >= 300
    said = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(what, name) for what, name in said]


# --- taken, published, marked -----------------------------------------------------------------------------------------


async def test_what_is_about_to_be_published_cannot_be_cancelled_and_is_taken_once() -> None:
    book = _book(testing.Clock())
    going, waiting = plan(), plan(due=testing.Clock().now() + 1000)
    for each in (going, waiting):
        _do(book, lambda book, each=each: desk.plan(book, each))
    taken = _do(book, lambda book: desk.take(book, ()))
    assert [name for name, _ in taken.live] == [going.id]
    assert taken.head == waiting.due
    assert _do(book, lambda book: desk.take(book, ())).live == []
    assert _do(book, lambda book: desk.cancel(book, going.id)).status is ScheduleStatus.DELIVERED
    assert _do(book, lambda book: desk.move(book, going.id, 9, 0, b"", ScheduleStatus.PENDING)) == (False, False)
    assert _do(book, lambda book: desk.mark(book, [going.id])) == waiting.due
    found = _do(book, lambda book: desk.find(book, going.id))
    assert (found.status, len(book.open().going)) == (ScheduleStatus.DELIVERED, 0)
    assert _do(book, desk.sums) == {"planned": 2, "delivered": 1, "pending": 1}


async def test_what_was_not_committed_was_not_taken() -> None:
    book = _book(testing.Clock())
    each = plan()
    _do(book, lambda book: desk.plan(book, each))

    def take_and_fail(book: MailBook) -> None:
        assert desk.take(book, ()).live
        raise OSError

    with pytest.raises(Exception, match="OSError"):
        _do(book, take_and_fail)
    assert _do(book, lambda book: desk.take(book, ())).live == [(each.id, b"x")]

    def mark_and_fail(book: MailBook) -> None:
        desk.mark(book, [each.id])
        raise OSError

    with pytest.raises(Exception, match="OSError"):
        _do(book, mark_and_fail)
    assert _do(book, lambda book: desk.take(book, ())).live == []
    assert _do(book, lambda book: desk.take(book, [each.id])).head is None


def _book(clock: testing.Clock) -> MailCommitter:
    return MailCommitter(None, clock, served=False)


def _do(committer: MailCommitter, work: Any) -> Any:
    operation = Operation(work, asyncio.get_running_loop().create_future())
    committer.run([operation])
    if operation.error is not None:
        raise operation.error
    return operation.told


async def test_who_stops_halfway_through_a_look_finishes_it(tmp_path: Path) -> None:
    """Its scheduler is cancelled while the file does not answer."""
    async with place(tmp_path / "mail") as here:
        closing, other, seen = await here.system().start(), here.system(), Seen()
        await other.subscribe("t", seen.take).ready()
        await closing.publish("t", 1, delay=0.5)
        gate = threading.Event()
        held = here.broker.mail.writer.submit(lambda book: gate.wait(30))
        await here.clock.advance(0.5)
        assert list(here.broker.agenda._firing.values()) == [closing.instance]
        ending = asyncio.create_task(closing.aclose(0))
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(held, ending)
        await until(lambda: len(seen) == 1)
        await here.advance(10)
        assert list(seen) == [1]
        assert (await other.schedules.list("delivered")).total == 1


async def test_a_handler_that_was_just_told_cannot_cancel() -> None:
    async with place() as here:
        system, seen = here.system(), Seen()

        async def cancel(_data: Any, event: Any) -> None:
            with pytest.raises(ConflictError, match="is delivered"):
                await system.schedules.cancel(event.id)
            seen.append((await system.schedules.list("delivered")).total)

        await system.subscribe("t", cancel).ready()
        await system.publish("t", 1, delay=0.5)
        await here.clock.advance(1)
        assert list(seen) == [1]


async def test_a_receiver_that_fails_keeps_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as here:
        system, seen = here.system(), Seen()
        await system.subscribe("t", seen.take).ready()
        await system.publish("bad", 1, delay=0.5)
        await system.publish("t", 1, delay=0.5)
        publish = here.broker.agenda._publish

        def fail(envelope: Any) -> None:
            if envelope.topic == "bad":
                raise OSError
            publish(envelope)

        monkeypatch.setattr(here.broker.agenda, "_publish", fail)
        await here.clock.advance(1)
        assert list(seen) == [1]
        assert (await system.schedules.list("delivered")).total == 2


# --- what is stored ---------------------------------------------------------------------------------------------------


async def test_what_finds_no_room_is_tried_in_growing_pauses_and_given_up() -> None:
    async with place() as here:
        system = here.system()
        await system.publish("t", 0, key="k")
        retry = RetryPolicy(max_attempts=4, backoff=10, cap=25)
        receipt = await system.publish("t", 1, key="k", delay=1, max_stored=1, retry=retry)
        tries = []
        for _ in range(70):
            await here.clock.advance(1)
            tries.append((await system.schedules.get(receipt.id)).attempts)
        assert [tries.index(number) + 1 for number in range(1, 5)] == [1, 11, 31, 56]
        schedule = await system.schedules.get(receipt.id)
        assert (schedule.status, schedule.attempts) == (ScheduleStatus.FAILED, 4)
        assert "as many events as it may" in schedule.error


async def test_what_is_due_late_is_stored_and_becomes_a_dead_letter_if_it_is_too_late(tmp_path: Path) -> None:
    mail, clock, seen = tmp_path / "mail", testing.Clock(), Seen()
    async with place(mail, clock) as here:
        receipt = await here.system().publish("t", 1, key="k", delay=1.0, ttl=5.0)
    await clock.advance(60)
    async with place(mail, clock) as here:
        system = here.system()
        await system.subscribe("t", seen.take, durable=True, on_poison="dead_letter").ready()

        while not (letters := await system.dead_letters.list("t")):
            await asyncio.sleep(0.01)
        assert [letter.event.id for letter in letters] == [receipt.id]
        assert (await system.schedules.get(receipt.id)).status is ScheduleStatus.EXPIRED
        assert list(seen) == []


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_what_ended_is_remembered_for_a_day_the_last_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_ENDED_PLANS", 3)
    async with place() as here:
        system = here.system()
        receipts = [await system.publish("t", number, delay=1 + number) for number in range(5)]
        await here.clock.advance(5)
        page = await system.schedules.list("delivered")
        assert (page.total, [each.id for each in page.items]) == (3, [each.id for each in reversed(receipts[2:])])
        await here.clock.advance(DAY - 1)
        assert (await system.schedules.get(receipts[4].id)).status is ScheduleStatus.DELIVERED
        await here.clock.advance(1)
        with pytest.raises(Exception, match="there is no schedule"):
            await system.schedules.get(receipts[4].id)
        assert (await system.schedules.list("delivered")).total == 0
        assert await here.broker.agenda.sums() == {"planned": 5, "delivered": 5, "pending": 0}


async def test_a_great_backlog_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_CLAIM_BYTES", 100_000)
    async with place() as here:
        system, seen = here.system(), Seen()
        await system.subscribe("t", seen.take).ready()
        for number in range(450):
            await system.publish("t", number, delay=1 + number / 1000)
        for number in range(5):
            await system.publish("t", b"%d" % number * 60_000, delay=2)
        looks = _count_looks(here)
        here.clock._elapsed += 3_000_000_000  # it stood still meanwhile
        here.clock._reading += 3
        await here.clock.advance(0)
        assert list(seen)[:450] == list(range(450))
        assert len(seen) == 455
        assert len(looks) >= 3 + 4


def test_a_million_of_them_are_found_by_an_index() -> None:
    database = sqlite_mail_schema.open_database(None)
    queries = {
        desk._DUE: (1, 1), desk._HEADS: (1,), desk._PAGE_PENDING: (1, 1), desk._PAGE_ENDED: ("failed", 1, 1),
        rows._FORGET: ("failed", 1), rows._ENDED: ("failed",), desk._FIND: ("x", 1), rows._FORGET_OLDEST: ("failed", 1),
        rows._FIRST: (), rows._DROP_TICK: ("x",), roster._DUE: (1, 1), roster._FIRST: (),
    }  # fmt: skip
    for query, values in queries.items():
        steps = [step[3] for step in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert any("INDEX" in step for step in steps), (query, steps)
        assert not any("TEMP B-TREE" in step for step in steps), (query, steps)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_a_version_before_gets_what_is_new(file: Path, version: int) -> None:
    mail = Path(f"{file}-mail")
    with contextlib.closing(sqlite3.connect(mail)) as database:
        for step in sqlite_mail_schema._STEPS[:version]:
            database.executescript(step)
        database.execute("INSERT INTO topics VALUES ('t')")
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()
    async with EventSystem(f"memory://{file}") as events:
        seen = Seen()
        await events.subscribe("t", seen.take, durable=True).ready()
        await events.publish("t", 1, key="k")
        await events.publish("t", 2, key="k", delay=0.02)
        await seen.reach(2)
    with contextlib.closing(sqlite3.connect(mail)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
        assert database.execute("SELECT count(*) FROM plans").fetchone() == (1,)


async def test_a_file_of_somebody_else_is_looked_at_again_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_agenda, "_NOT_OURS_SECONDS", 0.05)
    monkeypatch.setattr(sqlite_mail_schema, "_LOCK_SECONDS", 0.01)
    seen = Seen()
    async with EventSystem(f"memory://{file}") as owner:
        await owner.publish("t", 1, delay=3.0)
        other = EventSystem(f"memory://{file}")
        other.subscribe("t", seen.take)
        await other.start()
        await owner.aclose()
        await seen.reach(1)
        await other.aclose()


async def test_a_full_disk_is_told_to_who_plans_and_what_is_due_waits(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventSystem(f"memory://{file}") as events:
        seen = Seen()
        await events.subscribe("t", seen.take).ready()
        receipt = await events.publish("t", 1, delay=3.0)
        away = await events.publish("t", 2, delay=HOUR)
        with monkeypatch.context() as full:
            full.setattr(sqlite_mail_commit, "_RESERVE_BYTES", 1 << 62)
            with pytest.raises(OverloadedError, match=r"events\.db-mail is full"):
                await events.publish("t", 1, delay=HOUR)
            await asyncio.sleep(3.4)
            assert (await events.schedules.get(receipt.id)).status is ScheduleStatus.PENDING
            await events.schedules.cancel(away.id)
            assert list(seen) == []
        await seen.reach(1)


async def test_what_cannot_be_marked_goes_out_once_and_is_marked_later(file: Path) -> None:
    """In a process of its own, whose files may not grow for a while."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "agenda_full_disk.py"), str(file), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    out, _ = await child.communicate()
    assert out.decode().splitlines() == [
        "refused OVERLOADED NOT_DELIVERED", "live 1", "waiting 1", "stored 1", "delivered 2", "live 1",
    ]  # fmt: skip
