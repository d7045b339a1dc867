"""Reliable publishing: a durable event is committed to a local file, and stored at the broker from there.

Those of a key are stored in their order. What was stored before, and was not removed from the file because the process
ended, is recognised by the broker. Rules: SPEC.md, section 14.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from os import PathLike
from pathlib import Path

from tieline._contract import contract
from tieline.clock import Clock, Timer
from tieline.durable.mail import Appended, Draft, Mail, NoStream, Stored, no_stream
from tieline.errors import InvalidArgumentError, TielineError
from tieline.outbox.entry import OutboxFigures, Waiting

log = logging.getLogger("tieline")

_BASE_SECONDS = contract.DEFAULT_OUTBOX_BACKOFF_MS / 1000
_CAP_SECONDS = contract.DEFAULT_OUTBOX_BACKOFF_CAP_MS / 1000
_REST_SECONDS = 1.0
_WHOLE_TOPIC = "\0"

_Lane = tuple[str, str]


class Outbox:
    """The outbox of one event system: `EventSystem(…, outbox="path.db")`.

    Args:
        path: the file; it is made if it does not exist.
        mail: where events are stored, as soon as that can be reached at all.

    """

    def __init__(self, path: Path, mail: Callable[[], Awaitable[Mail]]) -> None:
        from tieline.outbox.file import OutboxFile  # not every Python has SQLite

        self._file = OutboxFile(path)
        self._mail = mail
        self._clock = Clock()
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._quiet = asyncio.Event()
        self._seen = 0
        self._held: dict[_Lane, float] = {}
        self._failures: dict[_Lane, int] = {}

    async def figures(self) -> OutboxFigures:
        """How many events wait for the broker.

        Raises:
            UnavailableError: the file cannot be used; the message says why.

        """
        return await self._file.figures()

    async def put(self, topic: str, drafts: Sequence[Draft], most: int, *, together: bool = False) -> None:
        """Return when the events are on disk.

        Raises:
            OverloadedError: too many wait.
            UnavailableError: the file cannot be used; nothing is kept.

        """
        kept = self._file.put(topic, drafts, most, together=together)
        self.begin()
        kept.add_done_callback(self._kept)
        await asyncio.shield(kept)

    def _kept(self, kept: asyncio.Future[None]) -> None:
        if not kept.cancelled() and kept.exception() is None:
            self._quiet.clear()
            self._news.set()

    # --- life -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Forward what waits, and what comes. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._news, self._quiet = asyncio.Event(), asyncio.Event()
            self._task = loop.create_task(self._forward(), context=Context())

    def link_up(self) -> None:
        """The broker is back: do not wait any longer."""
        self._held = dict.fromkeys(self._held, 0.0)
        self._news.set()

    async def drain(self) -> None:
        """Return when all that can be stored now is stored."""
        if self._task is not None and not self._task.done():
            await self._quiet.wait()

    async def aclose(self) -> None:
        """Stop; what waits is forwarded when the file is opened again."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._file.aclose()

    # --- forwarding -----------------------------------------------------------------------------------------------

    async def _forward(self) -> None:
        mail = await self._find_mail()
        self._seen = 0
        self._held.clear()
        while True:
            try:
                await self._forward_some(mail)
                continue
            except TielineError as error:
                log.error("reading the outbox failed: %s", error)
            except Exception:  # a defect of ours must not keep events back for good
                log.exception("forwarding events failed")
            self._quiet.set()
            await self._clock.sleep(_REST_SECONDS)

    async def _find_mail(self) -> Mail:
        failures = 0
        while True:
            try:
                return await self._mail()
            except TielineError as error:
                log.info("events wait in the outbox: %s", error)
                failures += 1
                await self._clock.sleep(_pause(failures))

    async def _forward_some(self, mail: Mail) -> None:
        self._news.clear()
        page = await self._file.page(self._seen)
        if page:
            by_topic: dict[str, list[Waiting]] = {}
            for waiting in page:
                by_topic.setdefault(waiting.topic, []).append(waiting)
            await asyncio.gather(*(self._store_topic(mail, topic, each) for topic, each in by_topic.items()))
            self._seen = page[-1].number
            return
        self._quiet.set()
        await self._pause_is_over()

    async def _pause_is_over(self) -> None:
        """Wait until something comes, or may be tried again; then all that waits is looked at from the beginning."""
        timer: Timer | None = None
        if self._held:
            timer = self._clock.call_later(max(0.0, min(self._held.values()) - self._clock.monotonic()), self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()
        now = self._clock.monotonic()
        if any(until <= now for until in self._held.values()):
            self._held = {lane: until for lane, until in self._held.items() if until > now}
            self._seen = 0

    async def _store_topic(self, mail: Mail, topic: str, waiting: list[Waiting]) -> None:
        """Store events of a topic, in their order, except for what is held."""
        for (together, most), run in itertools.groupby(waiting, lambda each: (each.together, each.most)):
            events = self._not_held(list(run), together=bool(together))
            if events:
                await self._store(mail, topic, events, most, together=bool(together))

    def _not_held(self, run: list[Waiting], *, together: bool) -> list[Waiting]:
        if (run[0].topic, _WHOLE_TOPIC) in self._held:
            return []
        held = [each for each in run if _lane(each) in self._held]
        if together and held:
            until = max(self._held[_lane(each)] for each in held)
            self._held |= {_lane(each): until for each in run}
            return []
        return [each for each in run if _lane(each) not in self._held] if held else run

    async def _store(self, mail: Mail, topic: str, events: list[Waiting], most: int, *, together: bool) -> None:
        drafts = [
            Draft(each.key, each.priority, each.known_as, contract.DEFAULT_DEDUPE_MS, each.envelope) for each in events
        ]
        try:
            places = await mail.append(topic, drafts, together=together, most=most)
        except TielineError as error:
            pause = self._hold((topic, _WHOLE_TOPIC))
            log.warning("%d events of %r wait another %.1f s: %s", len(events), topic, pause, error)
            return
        self._failures.pop((topic, _WHOLE_TOPIC), None)
        stored = [each for each, place in zip(events, places, strict=True) if isinstance(place, Stored)]
        for lane in {_lane(each) for each in stored}:
            self._failures.pop(lane, None)
        reasons = [(_lane(each), _why(place)) for each, place in zip(events, places, strict=True)]
        for lane, why in {lane: why for lane, why in reasons if why}.items():  # a later one of it may have been known
            log.warning("events of %r wait another %.1f s: %s", topic, self._hold(lane), why)
        if stored:
            await self._file.remove(stored)

    def _hold(self, lane: _Lane) -> float:
        failures = self._failures[lane] = self._failures.get(lane, 0) + 1
        pause = _pause(failures)
        self._held[lane] = self._clock.monotonic() + pause
        return pause


def _why(place: Appended) -> str:
    """Why an event was not stored; empty if it was."""
    if place is None:
        return "their key or lane is full"
    return str(no_stream(place.stream)) if isinstance(place, NoStream) else ""


def check_path(path: str | PathLike[str]) -> Path:
    """The path of an outbox, if it can be one.

    Raises:
        InvalidArgumentError: it is none.

    """
    if not isinstance(path, (str, PathLike)) or not str(path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"outbox is the path of a file, as in outbox='outbox.db', not {path!r:.80}")
    return Path(path)


def _lane(waiting: Waiting) -> _Lane:
    """What must be stored in its order; no key begins with a control character."""
    return waiting.topic, waiting.key or f"\0{waiting.priority}"


def _pause(failures: int) -> float:
    """Full jitter: somewhere between nothing and twice as much each time, up to a bound."""
    return random.uniform(0, min(_CAP_SECONDS, _BASE_SECONDS * 2 ** min(failures - 1, 32)))  # noqa: S311 - no secret
