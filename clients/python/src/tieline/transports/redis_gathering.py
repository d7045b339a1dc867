"""What is stored or planned in one turn of the loop, gathered into few runs of scripts (SPEC.md, sections 14 and 15).

Nothing waits for company: what is here when the turn ends is sent. What had no answer when the link broke is sent
again, in its order, before anything new; the scripts recognise what they did before.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tieline._contract import contract
from tieline._contract.scripts import Script
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, bulk, pack_script
from tieline.transports.redis_server import command_error
from tieline.transports.together import Together

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

_TOGETHER = 64
_MANY_BYTES = 262_144

T = TypeVar("T")
R = TypeVar("R", bound="Run[Any]")


class Run(Together[T], ABC):
    """One run of a script for many things of a kind, and who waits for it.

    Attributes:
        names: the script's keys and channels.
        size: bytes of what is done in it.

    """

    def __init__(self, script: Script, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names
        self.size = 0
        self._script = script
        self._packed: list[bytes] = []
        self._number = 0

    def add(self, packed: bytes, number: int, count: int) -> asyncio.Future[list[T]]:
        """Do so many things more in this run, told in this number of packed arguments; the future gets what became."""
        self.size += len(packed)
        self._packed.append(packed)
        self._number += number
        return self.wait(count)

    def arguments(self) -> tuple[int, bytes]:
        """The number of its arguments, and all of them packed."""
        first = self.first()
        return len(first) + self._number, b"".join([*map(bulk, first), *self._packed])

    @abstractmethod
    def first(self) -> Sequence[bytes]:
        """Arguments of the run, before those of what is done in it."""

    @abstractmethod
    def told(self, reply: Any) -> list[T]:
        """What became of each, as the script tells it."""

    def before(self, link: RedisLink) -> None:
        """It is about to be sent, perhaps again."""

    def forgotten(self) -> None:
        """The server did not know the script: it is about to be sent with its source."""

    def command(self, *, whole: bool = False) -> bytes:
        """The run of the script; `whole` sends its source."""
        number, packed = self.arguments()
        return pack_script(self._script, self.names, number, whole=whole) + packed

    def answered(self, reply: Any) -> None:
        """Tell everybody what became of it."""
        self.done(self.told(reply))


class Gathering:
    """Runs of scripts that are to be sent when the turn of the loop ends, and those without an answer."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._gathered: dict[Hashable, Run[Any]] = {}
        self._count = self._bytes = 0
        self._unanswered: deque[Run[Any]] = deque()
        self._giving_up: asyncio.TimerHandle | None = None
        self._closed = False

    def run(self, name: Hashable, make: Callable[[], R]) -> R:
        """The run of this name that goes with the others of this turn; made if there is none."""
        run = self._gathered.get(name)
        if run is None:
            run = self._gathered[name] = make()
        return cast(R, run)

    def added(self, link: RedisLink, count: int, size: int) -> None:
        """So many things, of so many bytes, were added to a run: it goes when the turn ends, or now if that is much."""
        self._count += count
        self._bytes += size
        if self._count >= _TOGETHER or self._bytes >= _MANY_BYTES:
            self.write(link)
            link.flush()
        else:
            link.flush_soon()

    def write(self, link: RedisLink) -> None:
        """Turn what is gathered into commands."""
        if self._gathered:
            gathered, self._gathered = self._gathered, {}
            self._count = self._bytes = 0
            for run in gathered.values():
                self.send(link, run)

    def send(self, link: RedisLink, run: Run[Any]) -> None:
        """Send one run of a script."""
        run.before(link)
        link.send(run.command(), partial(self._replied, link, run))

    def _replied(self, link: RedisLink, run: Run[Any], reply: Any) -> None:
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            run.forgotten()
            link.send(run.command(whole=True), partial(self._answered, run))
        else:
            self._answered(run, reply)

    def _answered(self, run: Run[Any], reply: Any) -> None:
        if isinstance(reply, LinkDownError):
            self._unanswered.append(run)
            self.link_down()
        elif isinstance(reply, Exception):
            run.fail(command_error(reply))
        else:
            run.answered(reply)

    def link_down(self) -> None:
        """The link is gone: keep what was gathered and what was not answered, for so long."""
        if self._closed:
            self._give_up()
        elif (self._unanswered or self._gathered) and self._giving_up is None:
            seconds = contract.DEFAULT_APPEND_RESEND_MS / 1000
            self._giving_up = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def resume(self, link: RedisLink) -> None:
        """The link is back: send what may not have been done, in its order, and then what was only gathered."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        for run in self._take_kept():
            self.send(link, run)

    def _give_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        for run in self._take_kept():
            run.fail(command_error(LinkDownError("the server did not come back in time")))

    def _take_kept(self) -> list[Run[Any]]:
        """What had no answer, in its order, and what was only gathered."""
        kept = [*self._unanswered, *self._gathered.values()]
        self._unanswered, self._gathered = deque(), {}
        self._count = self._bytes = 0
        return kept

    def close(self) -> None:
        """Nothing is sent any more, and nobody waits: what has no answer yet may have been done."""
        self._closed = True
        if self._transport.link is None:
            self._give_up()
