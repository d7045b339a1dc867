"""Where history is kept: one suite for SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import PostgresServer
from tieline import EventSystem
from tieline.errors import (
    InvalidArgumentError,
    InvalidPayloadError,
    InvalidTopicError,
    NoRespondersError,
    UnavailableError,
)
from tieline.history.questions import check_limit, check_page, check_selection, read_cursor
from tieline.history.sql_store import SqlEventStore
from tieline.history.store import EventStore, Order, RecordedEvent, Retention, Selection, cursor_of, merged, position_of
from tieline.history.stores import event_store

EVERYTHING = Selection()


def row(number: int, **other: object) -> RecordedEvent:
    made = RecordedEvent(
        id=f"id-{number:03}",
        type="orders.created",
        key="",
        source="shop/1",
        correlation_id="chain",
        causation_id="",
        time=1_000 + number,
        expires_at=0,
        status="processed",
        retry_count=0,
        error_msg="",
        content_type="",
        schema_version="",
        priority=5,
        hops=0,
        headers={},
        data=b"\x01",
        stream="",
        entry="",
        recorded_at=2_000,
        position=number,
    )
    return made._replace(**other)  # type: ignore[arg-type]


def stored(number: int, **other: object) -> RecordedEvent:
    return row(number, **{"status": "pending", "stream": "s", "entry": f"{number}-0"} | other)


def ids(rows: list[RecordedEvent]) -> list[int]:
    return [int(each.id[3:]) for each in rows]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres").url if postgres else f"sqlite:///{tmp_path / 'history.db'}"
    made = event_store(url)
    await made.delete_selected(EVERYTHING)
    yield made
    await made.aclose()


async def test_a_row_comes_back_as_it_was_written(store: EventStore) -> None:
    written = row(
        1,
        key="schlüssel",
        causation_id="c",
        expires_at=9_999,
        status="failed",
        retry_count=3,
        error_msg="ValueError: nein",
        content_type="application/json",
        schema_version="2",
        hops=4,
        headers={"traceparent": "00-ab", "ключ": "значение"},
        data=bytes(range(256)),
        stream="event_stream:orders.created:schlüssel",
        entry="1767225600000-0",
        position=position_of("1767225600000-7"),
        revision=position_of("9223372036854-9"),
    )
    await store.write([written])
    assert await store.get("id-001") == written
    assert await store.get("id-002") is None


async def test_an_id_has_one_row_however_often_it_is_written(store: EventStore) -> None:
    await store.write([row(1), row(2), row(1)])
    await store.write([row(2, data=b"other"), row(3)])
    assert ids(await store.select(EVERYTHING, Order.OLDEST, limit=10)) == [1, 2, 3]
    there = await store.get("id-002")
    assert there is not None
    assert there.data == b"\x01"


async def test_the_last_change_of_a_status_counts_in_whatever_order_it_is_written(store: EventStore) -> None:
    changed = stored(1, position=8, revision=8)
    failed = changed._replace(status="failed", retry_count=3, error_msg="no", entry="", stream="")
    again = changed._replace(entry="9-0", position=9, revision=9)
    for writes in ([[stored(1)], [failed], [again]], [[again], [failed], [stored(1)]], [[again, stored(1), failed]]):
        await store.delete(["id-001"])
        for rows in writes:
            await store.write(rows)
        there = await store.get("id-001")
        assert there is not None
        assert (there.status, there.entry, there.stream, there.revision) == ("pending", "9-0", "s", 9)
        assert there.position == 1
    await store.write([failed._replace(revision=10)])
    there = await store.get("id-001")
    assert there is not None
    assert (there.status, there.retry_count, there.error_msg, there.entry) == ("failed", 3, "no", "9-0")


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (("orders.created",), [1]),
        (("orders.*",), [1, 2]),
        (("orders.>",), [1, 2, 3]),
        (("*.created",), [1, 4]),
        (("*.*.eu",), [3]),
        (("orders.*.>",), [3]),
        ((">",), [1, 2, 3, 4]),
        (("*.startup",), []),
        (("system.>",), [5]),
        ((), [1, 2, 3, 4, 5]),
        (("ordersx.created", "orders.paid"), [2, 4]),
        (("orders",), []),
    ],
)
async def test_types_are_topics_or_patterns(store: EventStore, types: tuple[str, ...], wanted: list[int]) -> None:
    names = ("orders.created", "orders.paid", "orders.paid.eu", "ordersx.created", "system.startup")
    await store.write([row(at, type=name) for at, name in enumerate(names, 1)])
    assert ids(await store.select(Selection(types), Order.OLDEST, limit=10)) == wanted
    assert await store.count(Selection(types)) == len(wanted)


async def test_a_range_of_time_has_its_start_and_not_its_end(store: EventStore) -> None:
    await store.write([row(at) for at in range(6)])
    assert ids(await store.select(Selection(start=1_002, end=1_004), Order.OLDEST, limit=10)) == [2, 3]


async def test_status_and_source_select(store: EventStore) -> None:
    await store.write([row(1), stored(2), row(3, source="shop"), row(4, source="shop2/1"), row(5, source="shop/2")])
    assert ids(await store.select(Selection(status="pending"), Order.OLDEST, limit=10)) == [2]
    assert ids(await store.select(Selection(source="shop"), Order.OLDEST, limit=10)) == [1, 2, 3, 5]
    assert ids(await store.select(Selection(source="shop/2"), Order.OLDEST, limit=10)) == [5]


@pytest.mark.parametrize("order", list(Order))
async def test_cursors_walk_over_everything_once(store: EventStore, order: Order) -> None:
    times = {1: 1_000, 2: 1_000, 3: 1_001, 4: 1_000, 5: 999, 6: 1_001, 7: 1_000}
    await store.write([row(at, time=time) for at, time in times.items()])
    seen, after = list[int](), ""
    while page := await store.select(EVERYTHING, order, after=after, limit=2):
        seen += ids(page)
        after = cursor_of(page[-1], order)
    by_time = [5, 1, 2, 4, 7, 3, 6]
    assert seen == {"oldest": by_time, "newest": by_time[::-1], "broker": [1, 2, 3, 4, 5, 6, 7]}[order]


async def test_pages_are_counted_and_one_beyond_the_end_is_empty(store: EventStore) -> None:
    await store.write([row(at) for at in range(5)])
    assert ids(await store.select(EVERYTHING, Order.NEWEST, skip=4, limit=2)) == [0]
    assert await store.select(EVERYTHING, Order.NEWEST, skip=6, limit=2) == []
    assert await store.count(EVERYTHING) == 5


async def test_what_is_deleted_is_counted(store: EventStore) -> None:
    await store.write([row(at) for at in range(5)])
    assert await store.delete(["id-001", "id-003", "id-009"]) == 2
    assert await store.delete_selected(Selection(end=1_003)) == 2
    assert ids(await store.select(EVERYTHING, Order.OLDEST, limit=10)) == [4]


async def test_what_waits_is_finished_unless_it_has_changed_meanwhile(store: EventStore) -> None:
    await store.write([row(1), stored(2), stored(3), stored(4)])
    waiting = await store.waiting((0, ""), 2)
    assert [each[:4] for each in waiting] == [(2, "id-002", "s", "2-0"), (3, "id-003", "s", "3-0")]
    assert [each.id for each in await store.waiting(waiting[-1][:2], 2)] == ["id-004"]
    await store.write([stored(3, entry="7-0", revision=7)])
    assert await store.finish(waiting) == 1
    assert ids(await store.select(Selection(status="pending"), Order.OLDEST, limit=10)) == [3, 4]


async def test_what_is_too_old_goes(store: EventStore) -> None:
    await store.write([row(at) for at in range(5)])
    assert await _trimmed(store, Retention(age_ms=100), now=1_102) == 2
    assert ids(await store.select(EVERYTHING, Order.OLDEST, limit=10)) == [2, 3, 4]


async def test_what_is_too_much_goes_oldest_first(store: EventStore) -> None:
    await store.write([row(at, data=b"x" * 1_000) for at in range(6)])
    assert await _trimmed(store, Retention(rows=4)) == 2
    held = await store.figures()
    assert (held.rows, held.oldest, held.newest) == (4, 1_002, 1_005)
    assert 4_000 < held.bytes < 8_000
    assert await _trimmed(store, Retention(bytes=held.bytes - 1)) == 1
    assert ids(await store.select(EVERYTHING, Order.OLDEST, limit=10)) == [3, 4, 5]
    assert await _trimmed(store, Retention()) == 0


async def test_nul_in_a_text_is_no_reason_to_lose_an_event(store: EventStore) -> None:
    await store.write([row(1, error_msg="a\0b", headers={"x": "a\0b"}, data=b"a\0b")])
    there = await store.get("id-001")
    assert there is not None
    assert there.error_msg in ("a\0b", "a\N{REPLACEMENT CHARACTER}b")
    assert (there.headers, there.data) == ({"x": "a\0b"}, b"a\0b")


async def test_many_rows_are_written_at_once(store: EventStore) -> None:
    await store.write([row(at, id=f"id-{at}") for at in range(2_000)])
    assert await store.count(EVERYTHING) == 2_000


async def test_the_table_has_indexes_for_what_is_asked_most(store: EventStore) -> None:
    assert isinstance(store, SqlEventStore)
    await store.write([row(1)])
    listed = "sqlite_master WHERE type = 'index'" if store.dialect.mark == "?" else "pg_indexes"
    column = "sql" if store.dialect.mark == "?" else "indexdef"
    told = str([tuple(each) for each in await store.rows(f"SELECT {column} FROM {listed}")]).replace('"', "")
    assert "(type, time)" in told
    assert "(time, id)" in told


async def test_a_row_that_no_index_holds_is_kept_or_refused(store: EventStore) -> None:
    """But nobody is told that the database is away: a recorder would try it again for ever."""
    large = "".join(map(chr, random.Random(1).choices(range(33, 126), k=20_000)))
    with contextlib.suppress(InvalidPayloadError):
        await store.write([row(1, id=large)])
    await store.write([row(2)])
    assert await store.get("id-002") is not None


async def test_a_question_that_no_database_understands_holds_up_no_other_one(store: EventStore) -> None:
    await store.write([row(1)])
    async with asyncio.timeout(20.0):
        with pytest.raises((UnicodeEncodeError, InvalidPayloadError)):
            await store.get("\ud800")
        assert await store.get("id-001") is not None


async def test_a_row_that_no_database_holds_is_refused_and_the_next_one_is_not(store: EventStore) -> None:
    with pytest.raises(InvalidPayloadError, match="refuses an event"):
        await store.write([row(1), row(2, time=2**70)])
    assert await store.get("id-001") is None
    await store.write([row(1)])
    assert await store.count(EVERYTHING) == 1


async def _trimmed(store: EventStore, retention: Retention, now: int = 5_000) -> int:
    total = 0
    while some := await store.trim(retention, now):
        total += some
    return total


# --- the database is away ---------------------------------------------------------------------------------------------


async def test_a_server_that_is_away_is_told_and_found_again() -> None:
    server = PostgresServer()
    store = event_store(server.url)
    with contextlib.closing(server):
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{server.port}/postgres cannot be used"):
            await store.write([row(1)])
        server.start()
        await store.write([row(1)])
        server.stop()
        with pytest.raises(UnavailableError):
            await store.get("id-001")
        server.start()
        assert await store.get("id-001") == row(1)
        await store.aclose()


async def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    store = event_store(f"sqlite:///{tmp_path}/nowhere/history.db")
    with pytest.raises(UnavailableError, match="there is no folder"):
        await store.write([row(1)])
    await store.aclose()


@pytest.mark.parametrize("url", ["", "history.db", "sqlite://", "sqlite://host/file", "mysql://h/d", None])
def test_an_address_that_is_none_is_refused(url: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is no store of history; use sqlite:///"):
        event_store(url)  # type: ignore[arg-type]


# --- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"start": 2, "end": 1}, r"start \(1970-01-01T00:00:00.002Z\) is after end \(1970-01-01T00:00:00.001Z\)"),
        ({"start": -1}, "start is a moment in milliseconds"),
        ({"end": True}, "end is a moment"),
        ({"status": "done"}, "status is one of pending, processed, failed, not 'done'"),
        ({"source": 7}, "source is a service"),
        ({"types": 7}, "types is a list of topics or patterns"),
    ],
)
def test_a_bad_question_is_refused_with_its_reason(asked: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_selection(**asked)


def test_a_type_that_is_no_pattern_is_refused() -> None:
    with pytest.raises(InvalidTopicError):
        check_selection(["a b"])


@pytest.mark.parametrize("limit", [0, 1_001, True, "9"])
def test_a_limit_out_of_bounds_is_refused(limit: object) -> None:
    with pytest.raises(InvalidArgumentError, match="limit is a whole number from 1 to 1,000"):
        check_limit(limit)
    assert check_limit(None) == 50


@pytest.mark.parametrize("page", [0, -1, 1.5])
def test_a_page_that_is_none_is_refused(page: object) -> None:
    with pytest.raises(InvalidArgumentError, match="page is a whole number from 1"):
        check_page(page)


@pytest.mark.parametrize("cursor", ["", "x-1", "5", None, "-id"])
def test_a_cursor_that_is_none_is_refused(cursor: object) -> None:
    with pytest.raises(InvalidArgumentError, match="is no cursor"):
        read_cursor(cursor)


def test_rows_of_one_id_become_one() -> None:
    failed = stored(1, status="failed", error_msg="no", stream="", entry="", position=5, revision=5)
    assert merged([failed, stored(1)]) == [stored(1, status="failed", error_msg="no", revision=5)]


async def test_a_store_that_can_work_is_not_refused(store: EventStore) -> None:
    await store.check()


@pytest.mark.parametrize(
    ("name", "says"),
    [("missing/history.db", "there is no folder"), ("text", "not a database"), ("other", "no such column")],
)
async def test_a_file_that_can_never_keep_history_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "text").write_text("this is no database, and long enough to be sure of it" * 40)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE events (name TEXT)")
    other.close()
    async with EventSystem("memory://") as events:
        with pytest.raises(InvalidArgumentError, match=says):
            await events.record(f"sqlite:///{tmp_path / name}")
        with pytest.raises(NoRespondersError):
            await events.history.list()


async def test_a_database_that_can_never_keep_history_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(InvalidArgumentError, match="nowhere"):
        await event_store(postgres.url.replace("/postgres", "/nowhere")).check()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("CREATE DATABASE taken")
    taken = postgres.url.replace("/postgres", "/taken")
    other = await asyncpg.connect(taken)
    await other.execute("CREATE TABLE events (name TEXT)")
    await other.close()
    await connection.close()
    with pytest.raises(InvalidArgumentError, match="column"):
        await event_store(taken).check()


async def test_a_database_that_is_not_there_yet_is_waited_for() -> None:
    await event_store("postgresql://test@127.0.0.1:1/later").check()
