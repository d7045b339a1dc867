"""What subscriptions and listeners of one case got, and waiting for more of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.conformance._contract.peer_pb2 import Answer, Delivered, Ended, Report
from tieline._contract.envelope_pb2 import Envelope

PATIENCE_SECONDS = 30.0


class Log:
    """A list that is read from the front, without losing what was read."""

    def __init__(self, news: News) -> None:
        self.items: list[Any] = []
        self.read = 0
        self._news = news

    def add(self, item: Any) -> None:
        """Something came."""
        self.items.append((self._news.count(), item))

    @property
    def unread(self) -> list[Any]:
        """What came since the last reading."""
        return [item for _, item in self.items[self.read :]]


class News:
    """Wakes whoever waits when anything of the case happens."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._numbers = 0

    def count(self) -> int:
        """A number for what has just come; wakes those who wait."""
        self._event.set()
        self._numbers += 1
        return self._numbers

    async def until(self, true: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait for it; false if it does not come true in time."""
        end = time.monotonic() + (PATIENCE_SECONDS if seconds is None else seconds)
        while not true():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._event.clear()
            try:
                async with asyncio.timeout(left):
                    await self._event.wait()
            except TimeoutError:
                return true()
        return True


class Watched:
    """One subscription: what its handlers said."""

    def __init__(self, language: str, news: News) -> None:
        self.language = language
        self.delivered, self.ended, self.inner = Log(news), Log(news), Log(news)

    def hear(self, report: Report) -> None:
        """A handler said something."""
        kind = report.WhichOneof("report")
        if kind == "delivered":
            delivered: Delivered = report.delivered
            self.delivered.add(delivered)
        elif kind == "ended":
            ended: Ended = report.ended
            self.ended.add(ended)
        else:
            answer: Answer = report.inner.answer
            self.inner.add(answer)


class Listening:
    """One listener of the runner's own."""

    def __init__(self, news: News) -> None:
        self.heard = Log(news)
        self.answered = 0

    def hear(self, envelope: Envelope) -> None:
        """An envelope came."""
        self.heard.add(envelope)
