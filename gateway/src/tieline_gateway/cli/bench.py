"""`tieline bench`: a small load between two processes of its own, over the given broker."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click

from tieline.errors import CallTimeoutError, OverloadedError, UnavailableError
from tieline.events import EventSystem
from tieline_gateway.cli import bench_peer
from tieline_gateway.cli.arguments import DURATION
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, show_list
from tieline_gateway.cli.progress import Progress
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_LEAST_SECONDS = 0.1
_START_SECONDS = 30.0
_TOGETHER = 500
_AHEAD = 2_000
_WARM_UP = 200
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the result; times in milliseconds, None where there are none."""

    what: str
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    done: int
    lost: int


_COLUMNS: tuple[Column[Measured], ...] = (
    Column("WHAT", lambda row: row.what),
    Column("A SECOND", lambda row: f"{row.per_second:,.0f}"),
    Column("P50", lambda row: _ms(row.p50_ms)),
    Column("P99", lambda row: _ms(row.p99_ms)),
    Column("DONE", lambda row: f"{row.done:,}"),
    Column("LOST", lambda row: f"{row.lost:,}"),
)


@click.command(epilog=examples("tieline bench", "tieline bench --url redis://10.0.0.5 --seconds 10 --size 1024 --json"))
@click.option("--seconds", type=DURATION, default="3", show_default=True, help="How long each of three parts takes.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Calls at a time.")
@click.option("--size", type=click.IntRange(0, 1_000_000), default=64, show_default=True, help="Bytes of a payload.")
@json_option
@with_broker
def bench(*, broker: Broker, seconds: float, concurrency: int, size: int, as_json: bool) -> None:
    """Measure calls and events between two processes of this machine.

    One call after the other, then many at a time, then live events, as fast as the other process takes them. Both
    processes and, if it is here, the broker share this machine: with more cores it is faster.
    """
    if seconds < _LEAST_SECONDS:
        raise click.BadParameter(f"{seconds:g} s are too few; at least {_LEAST_SECONDS:g}", param_hint="'--seconds'")
    load = _Load(f"bench.{secrets.token_hex(4)}", seconds, concurrency, "x" * size)
    found = broker.visit(lambda events: load.run(events, broker))
    show_list(found, _COLUMNS, as_json=as_json, nothing="")
    if not as_json:
        click.echo(f"{size:,} bytes, {concurrency} calls at a time, {os.cpu_count()} cores, {broker.address}")


class _Load:
    """What is measured."""

    def __init__(self, topic: str, seconds: float, concurrency: int, payload: str) -> None:
        self._topic = topic
        self._seconds = seconds
        self._concurrency = concurrency
        self._payload = payload

    async def run(self, events: EventSystem, broker: Broker) -> list[Measured]:
        parts: list[tuple[str, Callable[[EventSystem, Progress, str], Awaitable[Measured]]]] = [
            ("calls, one by one", functools.partial(self._calls, 1)),
            (f"calls, {self._concurrency} at a time", functools.partial(self._calls, self._concurrency)),
            ("live events", self._events),
        ]
        async with _peer(self._topic, broker):
            for _ in range(_WARM_UP):
                await self._call(events)
            with Progress("", len(parts) * self._seconds, counts=False) as bar:
                return [await measure(events, bar, what) for what, measure in parts]

    async def _calls(self, concurrency: int, events: EventSystem, bar: Progress, what: str) -> Measured:
        taken: list[float] = []
        began, end = self._begin(bar, what)

        async def caller() -> None:
            while (asked := time.perf_counter()) < end:
                await self._call(events)
                taken.append(time.perf_counter() - asked)

        await asyncio.gather(*(caller() for _ in range(concurrency)))
        taken.sort()
        done = len(taken)
        if not taken:
            raise CallTimeoutError(f"no call came back in {self._seconds:g} s; give more --seconds")
        p50, p99 = taken[done // 2] * 1000, taken[min(done - 1, done * 99 // 100)] * 1000
        return Measured(what, done / (time.perf_counter() - began), p50, p99, done, 0)

    async def _events(self, events: EventSystem, bar: Progress, what: str) -> Measured:
        """Events that have arrived, each counted there; no more than a few are under way."""
        began, end = self._begin(bar, what)
        sent = received = 0
        while time.perf_counter() < end:
            await asyncio.gather(*(self._publish(events) for _ in range(_TOGETHER)))
            sent += _TOGETHER
            while sent - received > _AHEAD and time.perf_counter() < end:
                received = await events.publish_and_wait(f"{self._topic}.count")
        received, moment = await self._last(events, sent)
        seconds = moment - began
        return Measured(what, received / seconds, None, None, received, sent - received)

    async def _last(self, events: EventSystem, sent: int) -> tuple[int, float]:
        """How many have arrived when no more come, and when that was."""
        before, received, moment = -1, 0, 0.0
        while before < received < sent:
            await asyncio.sleep(0.0 if before < 0 else _LOOK_SECONDS)
            before, received = received, await events.publish_and_wait(f"{self._topic}.count")
            moment = time.perf_counter() if received > before else moment
        return received, moment

    async def _publish(self, events: EventSystem) -> None:
        await _patiently(lambda: events.publish(f"{self._topic}.event", self._payload))

    async def _call(self, events: EventSystem) -> None:
        await _patiently(lambda: events.publish_and_wait(f"{self._topic}.call", self._payload))

    def _begin(self, bar: Progress, what: str) -> tuple[float, float]:
        bar.during(what, self._seconds)
        began = time.perf_counter()
        return began, began + self._seconds


async def _patiently(send: Callable[[], Awaitable[Any]]) -> None:
    """Send, and wait where there is no room."""
    while True:
        try:
            await send()
        except OverloadedError as error:
            await asyncio.sleep(error.retry_after or 0.01)
        else:
            return


@contextlib.asynccontextmanager
async def _peer(topic: str, broker: Broker) -> AsyncGenerator[None]:
    """The other process, as long as the block runs."""
    environment = os.environ | {bench_peer.URL: broker.with_token(), bench_peer.NAMESPACE: broker.namespace}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", bench_peer.__name__, topic,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            said = await process.stdout.readline()
        if said.decode().strip() != bench_peer.READY:
            raise UnavailableError("the other process of the bench did not start; what it said is above")
        yield
    except TimeoutError:
        raise UnavailableError(f"the other process of the bench did not start within {_START_SECONDS:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f} ms"
