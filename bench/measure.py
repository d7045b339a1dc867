"""Measuring the rows: brokers and processes for each, in rounds, so that a slow minute hits all alike."""

from __future__ import annotations

import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.processes import Peer, PeerFailed, Program

from bench.brokers import broker
from bench.rows import ROOT, Row, command

Figures = dict[str, float]
MEMORY = ("own_rss", "own_traced", "task_rss", "task_traced")
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "NODE_ENV": "production"}
SPARE_SECONDS = 90.0


class RowFailed(Exception):
    """A row could not be measured; the message holds the end of what its processes printed."""


@dataclass
class Result:
    """All figures of one row."""

    row: Row
    rounds: list[Figures] = field(default_factory=list)
    problem: str = ""

    @property
    def figures(self) -> Figures:
        """The median of each figure over the rounds; empty if it could not be measured."""
        names = self.rounds[0] if self.rounds and not self.problem else ()
        return {name: statistics.median(figures[name] for figures in self.rounds) for name in names}


async def measure(rows: list[Row], rounds: int, seconds: float, tell: Callable[[str], None]) -> list[Result]:
    """Measure the rows, round by round. What fails is told in its result and not tried again."""
    results = [Result(row, problem=row.missing()) for row in rows]
    for number in range(1, rounds + 1):
        for result in results:
            if not result.problem and (number == 1 or result.row.kind != "memory"):
                tell(f"round {number} of {rounds}: {result.row.name}")
                await _once(result, seconds)
    return results


async def _once(result: Result, seconds: float) -> None:
    row = result.row
    try:
        async with broker(row.broker) as url, _responder(row, url):
            if row.kind == "durable":
                storage = "file" if row.broker.endswith("disk") else "memory"
                result.rounds.append(await _call(row, url, storage))
            elif row.kind == "memory":
                result.rounds.append({what: (await _call(row, url, what))["bytes"] for what in MEMORY})
            else:
                result.rounds.append(await _call(row, url, str(seconds)))
    except Exception as failure:  # whatever it is, the other rows are still worth measuring
        result.problem = str(failure) or repr(failure)


@asynccontextmanager
async def _responder(row: Row, url: str) -> AsyncIterator[None]:
    if not row.responder:
        yield
        return
    async with Peer(*command(row.responder, "serve", url), env=ENVIRONMENT):
        yield


async def _call(row: Row, url: str, argument: str) -> Figures:
    """Run the caller to its end and read its figures."""
    async with Program(*command(row.caller, "call", url, argument), env=ENVIRONMENT) as caller:
        try:
            line = await caller.line("^RESULT ", seconds=SPARE_SECONDS)
        except PeerFailed:
            raise RowFailed(f"{row.name}: no result\n" + "\n".join(caller.output[-15:])) from None
        figures: Figures = json.loads(line.removeprefix("RESULT "))
        return figures
