"""Runs of idempotency keys without a broker: bounds, and results that outlive the process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tieline import EventSystem, UnavailableError, codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.fingerprint import fingerprint
from tieline.calls.ledger import Caller, Joined, Key, Ledger, MemoryResults, Stored
from tieline.clock import Clock
from tieline.envelope import REPLY, REQUEST
from tieline.errors import InvalidArgumentError, Outcome
from tieline.transports.sqlite_results import SqliteResults

VECTORS = json.loads((Path(__file__).parents[2] / "proto/vectors/fingerprints.json").read_text())
NOW = 1_000_000
LATER = NOW + 86_400_000


def request(key: str = "k", *, token: str = "t", data: bytes = b"\x01", caller: str = "a" * 16) -> Envelope:
    return Envelope(
        kind=REQUEST,
        topic="a.b",
        id=token,
        idempotency_key=key,
        fingerprint=fingerprint(data, ""),
        expires_at=NOW + 1_000,
        time=NOW,
        reply_to=caller,
        call_id=token.encode() * 16,
    )


def reply(to: Envelope, data: bytes = b"\x02") -> Envelope:
    return Envelope(
        kind=REPLY, topic=to.topic, idempotency_key=to.idempotency_key, fingerprint=to.fingerprint, data=data
    )


def test_joiners_are_bounded() -> None:
    ledger = Ledger()
    ledger.claim(request(), "i")
    for number in range(contract.LIMIT_JOINERS):
        assert isinstance(ledger.look(request(token=f"j{number}"), "", NOW), Joined)
    found = ledger.look(request(token="one more"), "", NOW)
    assert isinstance(found, Envelope)
    assert found.error.code == contract.ERRORS["OVERLOADED"].number
    assert found.error.retry_after_ms > 0


def test_claims_that_end_without_a_word_are_forgotten() -> None:
    ledger = Ledger()
    for number in range(5_000):
        asked = request(f"k{number}")
        asked.expires_at = NOW - 1
        ledger.claim(asked, "i")
    assert len(ledger._runs) <= 1_025


def test_runs_are_bounded_and_those_that_ended_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "LIMIT_RUNS", 10)
    ledger = Ledger()
    for number in range(10):
        assert ledger.look(request(f"k{number}"), "", NOW) is None
        ledger.claim(request(f"k{number}"), "i")
    found = ledger.look(request("one more"), "", NOW)
    assert isinstance(found, Envelope)
    assert found.error.code == contract.ERRORS["OVERLOADED"].number
    assert found.error.retry_after_ms > 0
    assert isinstance(ledger.look(request("k0", token="u"), "", NOW), Joined)
    assert ledger.look(request("k0", token="v"), "i", NOW) is None  # taken over
    assert ledger.look(request("one more"), "", NOW + 1_000) is None


class SlowResults(MemoryResults):
    """Keeps nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Callable[[], None]] = []

    def put(self, key: Key, result: Stored, expires: int, then: Callable[[], None]) -> None:
        self.asked.append(partial(super().put, key, result, expires, then))

    def keep(self) -> None:
        """Keep what was put so far."""
        while self.asked:
            self.asked.pop(0)()


def test_a_result_on_its_way_into_the_store_counts() -> None:
    results = SlowResults()
    ledger, told = Ledger(results), []
    ledger.claim(request(), "i")
    for number in range(2):
        ledger.settle(
            reply(request(), bytes([number])), NOW, LATER, lambda counts, waiting: told.append((counts, waiting))
        )
    late = NOW + 2_000
    for avoid in ("", "i"):  # although the claim has ended, and although its responder is to be avoided
        found = ledger.look(request(token="u"), avoid, late)
        assert isinstance(found, Joined)
        assert found.until > late, "or it would be asked again at once"
    assert isinstance(ledger.look(request(token="v", data=b"\x07"), "", late), Envelope), "a conflict"
    assert ledger.release(request()) == []
    ledger._tidy(late)
    assert told == []
    results.keep()
    waited = [Caller("a" * 16, b"t" * 16), Caller("a" * 16, b"u" * 16)]
    assert [(Envelope.FromString(counts).data, waiting) for counts, waiting in told] == [(b"\0", waited), (b"\0", [])]
    assert isinstance(ledger.look(request(token="w"), "", late), Envelope)


def test_a_claim_is_released_by_its_owner_only() -> None:
    ledger = Ledger()
    ledger.claim(request(), "i")
    assert ledger.look(request(token="u"), "", NOW) == Joined(NOW + 1_000, "i")
    assert ledger.release(request(token="u")) == []
    assert ledger.release(request()) == [Caller("a" * 16, b"t" * 16), Caller("a" * 16, b"u" * 16)]
    assert ledger.look(request(token="u"), "", NOW) is None


def test_a_run_whose_responder_is_avoided_is_taken_over() -> None:
    ledger = Ledger()
    ledger.claim(request(), "lost")
    assert ledger.look(request(token="u"), "other", NOW) == Joined(NOW + 1_000, "lost")
    assert ledger.look(request(token="u"), "lost", NOW) is None
    ledger.claim(request(token="u"), "new")
    assert ledger.look(request(token="v"), "lost", NOW) == Joined(NOW + 1_000, "new")


def test_a_dead_claim_with_another_payload_is_overwritten_and_its_result_told_to_nobody() -> None:
    ledger, told = Ledger(), []
    old = request(data=b"\x05")
    ledger.claim(old, "i")
    late = request(token="u")
    late.expires_at = NOW + 9_000
    assert ledger.look(late, "", NOW + 2_000) is None
    ledger.claim(late, "i")
    ledger.settle(reply(old), NOW + 2_000, LATER, lambda counts, waiting: told.append(waiting))
    assert told == [[]]
    ledger.settle(reply(late), NOW + 2_000, LATER, lambda counts, waiting: told.append(waiting))
    assert told[1] == [Caller("a" * 16, b"u" * 16)]


def test_results_in_memory_are_bounded_by_count_bytes_and_time() -> None:
    results = MemoryResults(most=3, most_bytes=100)
    for number in range(5):
        results.put(("t", str(number)), Stored(b"f", b"x"), NOW, lambda: None)
    assert [results.get(("t", str(number)), NOW - 1) is not None for number in range(5)] == [False] * 2 + [True] * 3
    results.put(("t", "large"), Stored(b"f", b"x" * 99), NOW, lambda: None)
    assert results.get(("t", "4"), NOW - 1) is not None
    assert results.get(("t", "3"), NOW - 1) is None
    assert results.get(("t", "large"), NOW) is None


async def test_results_in_a_file_outlive_the_process(tmp_path: Path) -> None:
    url, ran = f"memory://{tmp_path}/results.db", 0

    async def count(data: Any) -> int:
        nonlocal ran
        ran += 1
        return ran

    for _ in range(2):
        async with EventSystem(url) as events:
            events.subscribe("count", count)
            calls = [events.publish_and_wait("count", n, idempotency_key=f"k{n}") for n in range(50)]
            assert sorted(await asyncio.gather(*calls)) == list(range(1, 51))
    assert ran == 50


async def test_a_file_that_cannot_be_read_refuses_keys_only(tmp_path: Path) -> None:
    file, broken = tmp_path / "results.db", asyncio.Event()

    async def pay(data: Any) -> Any:
        if data == "break the file":
            _break(file)
            broken.set()
        return data

    async with EventSystem(f"memory://{file}") as events:
        await events.subscribe("pay", pay).ready()
        assert await events.publish_and_wait("pay", "break the file", idempotency_key="a") == "break the file"
        assert broken.is_set()
        with pytest.raises(UnavailableError, match=r"results\.db cannot be used: no such table") as caught:
            await events.publish_and_wait("pay", 1, idempotency_key="b")
        assert caught.value.outcome is Outcome.NOT_DELIVERED
        assert events._instance.caller.active == 0
        assert await events.publish_and_wait("pay", 2) == 2


def _break(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DROP TABLE results")


async def test_closing_waits_for_the_file_and_holds_nothing_else_up(tmp_path: Path) -> None:
    file, kept = tmp_path / "results.db", asyncio.Event()
    results = SqliteResults(file, Clock())
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        results.put(("t", "k"), Stored(b"f", b"x"), Clock().now() + 60_000, kept.set)
        closing = asyncio.create_task(results.aclose())
        await asyncio.sleep(0.2)
        assert not closing.done()
        other.execute("ROLLBACK")
        await closing
        await asyncio.wait_for(kept.wait(), 10.0)
        assert other.execute("SELECT reply FROM results").fetchall() == [(b"x",)]


async def test_results_in_a_file_expire_by_the_clock_of_the_broker(tmp_path: Path) -> None:
    hours, kept = 0, asyncio.Event()
    file, clock = tmp_path / "results.db", Clock(lambda: time.monotonic() + hours * 3_600)
    results, ahead = SqliteResults(file, clock), clock.now() + 3_600_000
    results.put(("t", "old"), Stored(b"f", b"x"), ahead, lambda: None)
    hours = 2
    results.put(("t", "new"), Stored(b"f", b"x"), ahead + 7_200_000, kept.set)
    await asyncio.wait_for(kept.wait(), 10.0)
    await results.aclose()
    with contextlib.closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT key FROM results").fetchall() == [("new",)]


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database, but a text of some length " * 50)
    for url in (f"memory://{tmp_path}/no.db", f"memory://{tmp_path}/missing/a.db"):
        with pytest.raises(UnavailableError, match=r"\.db cannot be used"):
            EventSystem(url)
    with pytest.raises(InvalidArgumentError, match="absolute path"):
        EventSystem("memory://results.db")


@pytest.mark.parametrize("case", VECTORS["equal"], ids=lambda case: case["about"])
def test_equal_payloads_have_the_fingerprint_of_every_language(case: dict[str, Any]) -> None:
    for written in case["payloads"]:
        data, content_type = bytes.fromhex(written["hex"]), written.get("content_type", "")
        assert fingerprint(data, content_type).hex() == case["fingerprint"], written


def _fastest(work: Callable[[bytes, str], Any], data: bytes) -> float:
    spent = []
    for _ in range(5):
        began = time.process_time()
        work(data, "")
        spent.append(time.process_time() - began)
    return min(spent)


def test_the_fingerprint_of_a_large_payload_takes_little_longer_than_reading_it() -> None:
    data = codec.encode([1] * 1_000_000)
    assert _fastest(fingerprint, data) < 8 * _fastest(codec.decode, data)


def test_one_odd_value_deep_inside_is_written_as_alone() -> None:
    data = codec.encode({"b": [[], {"y": [0, 1.0]}], "a": [{}, [1.5]]})
    same = codec.encode({"a": [{}, [1.5]], "b": [[], {"y": [0.0, 1]}]})
    other = codec.encode({"a": [{}, [1.5]], "b": [[], {"y": [0.0, -0.0]}]})
    assert fingerprint(data, "") == fingerprint(same, "") != fingerprint(other, "")


def test_different_payloads_have_different_fingerprints() -> None:
    prints = [case["fingerprint"] for case in VECTORS["equal"]]
    assert len(set(prints)) == len(prints)
