"""Dead letters that are put back by themselves, where a subscription wants it. Rules: SPEC.md, section 14.

Nothing polls: a pass is made when the oldest letter has lain long enough, and the next one then.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Protocol

from tieline._contract import contract
from tieline.clock import Clock
from tieline.durable.dead_letters import DeadLetter, note_redriven, put_back, read_letter
from tieline.durable.durability import Durability
from tieline.durable.mail import Mail
from tieline.durable.steps import DurableSteps
from tieline.errors import InvalidPayloadError, ResponderLostError, TielineError

log = logging.getLogger("tieline")

_REST_SECONDS = 1.0
_MOST_JITTER_SECONDS = 1.0
_HOPELESS = (InvalidPayloadError, ResponderLostError)
"""What will not get better by itself, and what may be what ends those who try it."""


class House(Protocol):
    """Where the mail is."""

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        ...

    @property
    def mail(self) -> Mail:
        """Where durable events are."""
        ...

    @property
    def steps(self) -> DurableSteps:
        """Where each step of an event is noted."""
        ...


class Redriver:
    """Puts back the dead letters of a subscription's group whose handler failed, so often as its policy says."""

    def __init__(self, topic: str, policy: Durability, house: House) -> None:
        self._topic = topic
        self._group = policy.group
        self._retry = policy.retry
        self._house = house
        self._after = ""  # what comes up to here was put back, or stays
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; nothing happens if no letter is to be put back by itself. Idempotent."""
        if self._retry.redrives and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Put nothing back any more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def forget(self) -> None:
        """The loop is gone."""
        self._task = None

    async def _run(self) -> None:
        while True:
            try:
                pause = await self._pass()
            except TielineError as error:
                log.info("putting dead letters of %r back failed, and is tried again: %s", self._topic, error)
                pause = _REST_SECONDS
            except Exception:  # somebody else's program may have written among the letters
                log.exception("putting dead letters of %r back failed", self._topic)
                pause = self._retry.redrive_after
            jitter = min(_MOST_JITTER_SECONDS, self._retry.redrive_after / 10)  # others of the group wait for the same
            await self._house.clock.sleep(pause + random.uniform(0, jitter))  # noqa: S311 - jitter is no secret

    async def _pass(self) -> float:
        """Put back what has lain long enough; returns the seconds until the next pass."""
        due, reached, pause = await self._look()
        if due:
            entries = await self._house.mail.redrive(self._topic, [put_back(letter) for letter in due])
            moved = note_redriven(self._house.steps, due, entries)
            log.info("%d dead letters of %r are tried again", moved, self._topic)
        self._after = reached
        return pause

    async def _look(self) -> tuple[list[DeadLetter], str, float]:
        """What has lain long enough, oldest first; the id up to which nothing else has; and when to look again."""
        due, reached = list[DeadLetter](), self._after
        async for letter in self._all():
            if self._is_wanted(letter):
                left = letter.time.timestamp() + self._retry.redrive_after - self._house.clock.now() / 1000
                if left > 0:
                    return due, reached, left
                due.append(letter)
            reached = letter.id
            if len(due) == contract.LIMIT_REDRIVE_LETTERS:
                return due, reached, _REST_SECONDS
        return due, reached, self._retry.redrive_after  # what dies from now on lies as long

    async def _all(self) -> AsyncIterator[DeadLetter]:
        after = self._after
        while page := await self._house.mail.letters(self._topic, after, contract.LIMIT_REDRIVE_LETTERS):
            for found in page:
                yield read_letter(found, self._house.clock)
            after = page[-1].id

    def _is_wanted(self, letter: DeadLetter) -> bool:
        if letter.group != self._group or letter.reason != "failed" or letter.event.expired:
            return False
        return letter.redriven < self._retry.redrives and not isinstance(letter.error, _HOPELESS)
