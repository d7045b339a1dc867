"""Durable events in a SQLite file: nothing acknowledged is lost, and one process has it at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from tests.suite.durable import AT_ONCE, Keys
from tests.suite.durable_retries import failing
from tests.suite.seen import Seen, until
from tests.unit.mail_places import Box, names, opened
from tieline import EventSystem, OverloadedError, RetryPolicy, UnavailableError, UnsupportedError, testing
from tieline.clock import Clock
from tieline.durable.mail import Draft, Redriven, Verdict
from tieline.errors import InvalidArgumentError, Outcome
from tieline.transports import sqlite_mail_commit, sqlite_mail_writer
from tieline.transports.memory import MemoryBroker, MemoryTransport
from tieline.transports.sqlite_mail import SqliteMail
from tieline.transports.sqlite_mail_book import MailBook
from tieline.transports.sqlite_mail_schema import open_database

HERE = Path(__file__).parent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where results are kept; durable events are in a file beside it."""
    return tmp_path / "events.db"


@pytest.fixture
def mail_file(file: Path) -> Path:
    """That file."""
    return Path(f"{file}-mail")


async def test_all_that_is_known_of_a_key_outlives_the_process(file: Path) -> None:
    async with opened(MemoryTransport(store=file), "t") as box:
        await box.enroll()
        await box.put("a1=id", "a2", "b1", "c1", "5:x")
        claimed = await box.claim()
        a, b = (next(member for member in claimed.members if member.key == key) for key in "ab")
        await box.settle(claimed, Verdict.RETRY, b"0", member=a, handled=0)
        await box.settle(claimed, Verdict.PARK, b"letter", member=b, handled=0)
        for member in claimed.members:
            await box.settle(claimed, Verdict.FREE, member=member, handled=0)
    async with opened(MemoryTransport(store=file), "t") as box:
        assert not await box.enroll()
        (stored,) = await box.put("a3=id")
        assert stored is not None
        assert stored.duplicate
        again = await box.claim()
        found = sorted((names(member.entries), member.failures) for member in again.members)
        assert found == [(["5:x"], 0), (["a1"], 1), (["c1"], 0)]
        assert int(again.token) > int(claimed.token)
        assert [letter.id for letter in await box.mail.parked("t", "default")] == ["b"]


async def test_ids_and_tokens_grow_although_the_clock_is_set_back(file: Path) -> None:
    ids, tokens = [], []
    for year in (2031, 2030):
        clock = testing.Clock(testing.clock._BEGINNING.replace(year=year))
        mail = SqliteMail(file, clock, lambda topic, group: None)
        await mail.enroll("t", "g", latest=False)
        for _ in range(2):
            (stored,) = await mail.append("t", [Draft("k", 5, "", 0, b"x")])
            assert stored is not None
            ids.append(tuple(map(int, stored.entry.split("-"))))
            tokens.append(int((await mail.claim("t", "g", 9, 9, 0.0)).token))
        await mail.aclose()
    assert ids == sorted(set(ids))
    assert tokens == sorted(set(tokens))


async def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(file: Path) -> None:
    for _ in range(3):
        acknowledged = await _publish_until_killed(file)
        with contextlib.closing(sqlite3.connect(f"{file}-mail")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        async with opened(MemoryTransport(store=file), "t") as box:
            found: list[str] = []
            while (claimed := await box.claim()).members:
                found += [name for member in claimed.members for name in names(member.entries)]
                await box.settle(claimed, Verdict.DONE)
        assert set(acknowledged) <= set(found)
        for key in {name[0] for name in found}:
            numbers = [int(name[1:]) for name in found if name[0] == key]
            assert numbers == list(range(len(numbers))), "each once, in its order, without a hole"


async def _publish_until_killed(file: Path) -> list[str]:
    """Returns what a process that was killed said is stored."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "mail_publisher.py"), str(file), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(300)]
    child.kill()
    lines += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    assert len(lines) >= 300
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


async def test_what_a_process_held_that_was_killed_is_given_out_at_once(file: Path) -> None:
    async with opened(MemoryTransport(store=file), "t") as box:
        await box.enroll()
        await box.put("a1", "5:x")
        held = await box.claim(lease=3600.0)
    async with opened(MemoryTransport(store=file), "t") as box:
        again = await box.claim()
        assert sorted((member.failures, names(member.entries)) for member in again.members) == [
            (1, ["5:x"]),
            (1, ["a1"]),
        ]
        assert await box.settle(held, Verdict.DONE) == [False, False]


async def test_a_gateway_that_was_killed_leaves_leases_to_its_clients(file: Path) -> None:
    async with opened(MemoryTransport(store=file, served=True), "t") as box:
        await box.enroll()
        await box.put("a1", "5:x")
        held = await box.claim(lease=3600.0)
    async with opened(MemoryTransport(store=file, served=True), "t") as box:
        assert not (await box.claim()).members
        assert await box.settle(held, Verdict.DONE) == [True, True]


async def test_a_second_process_is_told_whose_file_it_is(file: Path) -> None:
    code = (
        "import asyncio, sys; from tieline import EventSystem\n"
        "async def main():\n"
        "    async with EventSystem(f'memory://{sys.argv[1]}') as events:\n"
        "        await events.publish('t', 1, key='k')\n"
        "asyncio.run(main())"
    )
    async with EventSystem(f"memory://{file}") as events:
        await events.publish("t", 1, key="k")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(file), stderr=asyncio.subprocess.PIPE
        )
        _, told = await child.communicate()
        last = told.decode().strip().splitlines()[-1]
        assert "UNAVAILABLE" in last
        assert f"{file}-mail is in use by another process" in last
        assert "tieline up --store" in last
        with pytest.raises(UnavailableError, match="in use"):
            MemoryTransport(store=file, served=True)
        await events.publish("t", 2, key="k")
    async with EventSystem(f"memory://{file}") as events:
        await events.publish("t", 3, key="k")


async def test_a_file_is_touched_only_when_it_is_needed(file: Path, mail_file: Path) -> None:
    one, other = EventSystem(f"memory://{file}"), EventSystem(f"memory://{file}")
    async with one, other:
        await one.publish("t", 1)
        await other.publish("t", 1)
        assert not _is_there(mail_file)
        await one.publish("t", 1, key="k")
        assert _is_there(mail_file)


async def test_a_file_of_a_newer_version_is_refused(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"{file}-mail")) as database:
        database.execute("PRAGMA user_version = 99")
    async with EventSystem(f"memory://{file}") as events:
        with pytest.raises(UnsupportedError, match="newer version"):
            await events.publish("t", 1, key="k")


async def test_a_file_that_is_no_database_is_named(file: Path, mail_file: Path) -> None:
    _fill(mail_file)
    async with EventSystem(f"memory://{file}") as events:
        with pytest.raises(UnavailableError, match=r"events\.db-mail cannot be used") as caught:
            await events.publish("t", 1, key="k")
        assert caught.value.outcome is Outcome.NOT_DELIVERED


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    file, why = tmp_path / "no" / "events.db", f"cannot be used: there is no folder {tmp_path}/no; make it"
    with pytest.raises(UnavailableError, match=rf"events\.db {why}"):
        EventSystem(f"memory://{file}")
    with pytest.raises(UnavailableError, match=rf"db-mail {why}"):
        open_database(Path(f"{file}-mail"))


async def test_a_full_disk_is_told_to_the_publisher_alone(file: Path) -> None:
    """In a process of its own, whose files may not grow beyond a limit."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "mail_full_disk.py"), str(file), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    out, _ = await child.communicate()
    assert out.decode().split() == ["refused", "OVERLOADED", "NOT_DELIVERED", "called", "live", "stored", "handled"]


async def test_the_last_of_a_disk_is_for_handling_what_is_stored(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(MemoryTransport(store=file), "t") as box:
        await box.enroll()
        await box.put("a1", "a2")
        with monkeypatch.context() as full:
            full.setattr(sqlite_mail_commit, "_RESERVE_BYTES", 1 << 62)
            with pytest.raises(OverloadedError, match=r"events\.db-mail is full") as caught:
                await box.put("a3")
            assert (caught.value.outcome, caught.value.retry_after) == (Outcome.NOT_DELIVERED, 1.0)
            claimed = await box.claim()
            assert names(claimed.members[0].entries) == ["a1", "a2"]
            assert await box.settle(claimed, Verdict.DONE) == [True]
        await box.put("a3")
        assert await box.read() == {"a": ["a3"]}


async def test_what_cannot_be_done_fails_alone(file: Path) -> None:
    async with opened(MemoryTransport(store=file), "t") as box:
        good = [box.put(f"a{number}") for number in range(20)]
        bad = [box.mail.redrive("t", [Redriven("nonsense", "g", "k", 5, b"")]), box.put("\ud800")]
        told = await asyncio.gather(*good[:10], *bad, *good[10:], return_exceptions=True)
        assert isinstance(told[10], InvalidArgumentError)
        assert isinstance(told[11], Exception)
        assert all(isinstance(one, list) for one in told[:10] + told[12:])
        await box.enroll()
        assert await box.read() == {"a": [f"a{number}" for number in range(20)]}


class Slow:
    """A file that does not answer until it is told to."""

    def __init__(self, file: Path) -> None:
        self.mail = SqliteMail(file, Clock(), lambda topic, group: None)
        self._asked, self._gate = threading.Event(), threading.Event()

    async def hold(self) -> None:
        """Return when it has stopped to answer."""
        self.held = self.mail._writer.submit(self._wait)
        assert await asyncio.to_thread(self._asked.wait, 30)

    def go_on(self) -> None:
        self._gate.set()

    def _wait(self, book: MailBook) -> None:
        self._asked.set()
        assert self._gate.wait(30)


async def test_closing_finishes_what_waits_and_refuses_what_comes(file: Path) -> None:
    slow = Slow(file)
    await slow.hold()
    waiting = [slow.mail.append("t", [Draft("k", 5, "", 0, b"%d" % number)]) for number in range(100)]
    closing = asyncio.create_task(slow.mail.aclose())
    await until(lambda: slow.mail._writer._closed)
    with pytest.raises(UnavailableError, match="closed"):
        slow.mail.append("t", [Draft("k", 5, "", 0, b"x")])
    slow.go_on()
    await closing
    assert all(future.done() and future.result()[0] for future in waiting)
    await slow.mail.aclose()
    again = SqliteMail(file, Clock(), lambda topic, group: None)
    await again.enroll("t", "g", latest=False)
    (member,) = (await again.claim("t", "g", 10, 1000, 60.0)).members
    assert names(member.entries) == [str(number) for number in range(100)]
    await again.aclose()


async def test_nobody_waits_for_a_disk_that_does_not_answer(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_mail_writer, "_CLOSE_SECONDS", 0.1)
    slow = Slow(file)
    await slow.hold()
    waiting = slow.mail.append("t", [Draft("k", 5, "", 0, b"x")])
    await slow.mail.aclose()
    for future in (slow.held, waiting):
        with pytest.raises(UnavailableError, match="did not answer") as caught:
            await future
        assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    slow.go_on()
    await until(lambda: not slow.mail._writer._thread.is_alive())


def test_a_new_loop_goes_on_with_the_file(file: Path) -> None:
    events, seen = EventSystem(f"memory://{file}"), Seen()
    events.subscribe("t", seen.take, durable=True)

    async def use(number: int) -> None:
        await events.publish("t", number, key="k")
        while (await events._instance.mail.groups("t"))[0].waiting:
            await asyncio.sleep(0.005)

    for number in range(2):
        asyncio.run(use(number))
    assert list(seen) == [0, 1]


async def test_latest_is_exact_within_a_millisecond() -> None:
    box = await _by_hand()
    await box.put("a1", "5:x")
    await box.enroll(latest=True)
    await box.put("a2", "5:y")
    assert await box.read() == {"a": ["a2"], "": ["5:y"]}


async def test_a_group_that_began_later_keeps_nothing_that_is_not_for_it() -> None:
    box = await _by_hand()
    await box.enroll("g")
    await box.put("a1", "5:x")
    await box.enroll("late", latest=True)
    await box.settle(await box.claim(group="g"), Verdict.DONE, group="g")
    await box.enroll("early")
    assert await box.read(group="early") == {}


async def test_what_was_acknowledged_early_is_not_given_out_again_because_of_another_group() -> None:
    box = await _by_hand()
    for group in ("g", "h"):
        await box.enroll(group)
    await box.put("5:x")
    claimed = await box.claim(group="g", lease=0.0)
    await box.settle(claimed, Verdict.KEEP, group="g")
    await box.mail.extend("t", "g", [(member.name, claimed.token) for member in claimed.members], 0.0)
    assert await box.read(group="g") == {}
    assert await box.read(group="h") == {"": ["5:x"]}


async def test_what_only_a_removed_group_waited_for_goes_with_it() -> None:
    box = await _by_hand()
    for group in ("g", "h"):
        await box.enroll(group)
    await box.put("a1", "5:x")
    await box.settle(await box.claim(group="g"), Verdict.DONE, group="g")
    await box.put("b1", "5:y")
    await box.mail.dismiss("t", "h")
    await box.enroll("early")
    assert await box.read(group="early") == {"b": ["b1"], "": ["5:y"]}


async def test_the_only_slot_is_shared_by_keys_and_events_without() -> None:
    box = await _by_hand()
    await box.enroll()
    await box.put("a1", "b1", *(f"5:{number}" for number in range(10)))
    first = [(await box.claim(slots=1)).members[0].key for _ in range(4)]
    assert sorted(first) == ["", "", "a", "b"]


async def test_durable_events_follow_a_clock_that_is_turned_by_hand() -> None:
    seen, done = Seen(), Keys()
    async with testing.system() as events:
        retry = RetryPolicy(max_attempts=5, backoff=600.0, cap=600.0, jitter=False)
        events.subscribe("t", failing(seen, "a1", 1), durable=True, retry=retry)
        events.subscribe("u", done.take, durable=True, group="other")
        for data in ("a1", "a2", "b1"):
            await events.publish("t", data, key=data[0])
        await events.publish("u", 1, durable=True)
        await events.clock.settle()
        assert sorted(seen) == [("a1", 1), ("b1", 1)]
        assert done.count == 1
        await events.clock.advance(599)
        assert len(seen) == 2
        await events.clock.advance(2)
        assert list(seen)[2:] == [("a1", 2), ("a2", 1)]


async def test_a_publisher_that_never_waits_lets_others_run() -> None:
    async with EventSystem("memory://") as events:
        seen = Seen()
        await events.subscribe("t", failing(seen, None), durable=True, retry=AT_ONCE).ready()
        for number in range(200):
            await events.publish("t", number, key="k")
        assert seen


def _is_there(file: Path) -> bool:
    return file.is_file()


def _fill(file: Path) -> None:
    file.write_text("this is no database, but a text of some length " * 50)


async def _by_hand() -> Box:
    """The mail of a broker in memory, whose clock stands still."""
    context = opened(MemoryTransport(MemoryBroker(clock=testing.Clock())), "t")
    return await context.__aenter__()
