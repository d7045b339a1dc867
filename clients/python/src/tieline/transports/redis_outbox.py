"""Requests and answers of one loop turn, gathered into few commands.

Requests on one topic share a dispatch, answers to one inbox share a message: the server, the reader and we do the work
of a command once for all of them. Nothing waits for company: what is here when the turn ends is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline.envelope import frame
from tieline.errors import TielineError
from tieline.transports.redis_link import RedisLink, ReplyError, bulk, pack_script
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

_REMEMBERED = 4096
_TOGETHER = 64
_MANY_BYTES = 262_144
_FIXED = 7  # EVALSHA, the SHA, the number of keys, two keys, the channel, whom to avoid

Answered = Callable[[bytes, str, TielineError | None], None]


class _Dispatch:
    """Requests on one topic that avoid the same instance."""

    __slots__ = ("answered", "avoid", "call_ids", "frames", "topic")

    def __init__(self, topic: str, avoid: str) -> None:
        self.topic = topic
        self.avoid = avoid
        self.frames: list[bytes] = []
        self.call_ids: list[bytes] = []
        self.answered: list[Answered] = []


class RedisOutbox:
    """What is to be sent when the loop turn ends."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._dispatches: dict[tuple[str, str], _Dispatch] = {}
        self._answers: dict[str, list[bytes]] = {}
        self._count = 0
        self._bytes = 0
        self._heads: dict[str, bytes] = {}
        self._inboxes: dict[str, bytes] = {}

    def dispatch(
        self, link: RedisLink, topic: str, avoid: str, call_id: bytes, data: bytes, answered: Answered
    ) -> None:
        """Send a request; `answered` is told who took it."""
        together = self._dispatches.get((topic, avoid))
        if together is None:
            together = self._dispatches[(topic, avoid)] = _Dispatch(topic, avoid)
        together.frames.append(frame(data))
        together.call_ids.append(call_id)
        together.answered.append(answered)
        self._added(link, len(data))

    def answer(self, link: RedisLink, to: str, data: bytes) -> None:
        """Send something to an inbox."""
        together = self._answers.get(to)
        if together is None:
            self._answers[to] = [frame(data)]
        else:
            together.append(frame(data))
        self._added(link, len(data))

    def write(self, link: RedisLink) -> None:
        """Turn what is here into commands."""
        self._count = self._bytes = 0
        if self._dispatches:
            dispatches, self._dispatches = self._dispatches, {}
            for together in dispatches.values():
                self._write_dispatch(link, together)
        if self._answers:
            answers, self._answers = self._answers, {}
            for to, frames in answers.items():
                link.send_quietly(self.packed_answer(to, b"".join(frames)), self._transport.keep)

    def unsent_answers(self) -> list[bytes]:
        """Take back the answers, packed, when the link is gone; whoever called has been told of it."""
        answers, self._answers = self._answers, {}
        self._dispatches.clear()
        self._count = self._bytes = 0
        return [self.packed_answer(to, b"".join(frames)) for to, frames in answers.items()]

    def packed_answer(self, to: str, frames: bytes) -> bytes:
        """The command that puts frames into an inbox."""
        head = self._inboxes.get(to)
        if head is None:
            channel = contract.inbox_channel(self._transport.prefix, to).encode()
            head = _remember(self._inboxes, to, b"*3\r\n$8\r\nSPUBLISH\r\n" + bulk(channel))
        return b"%b$%d\r\n%b\r\n" % (head, len(frames), frames)

    def _added(self, link: RedisLink, size: int) -> None:
        self._count += 1
        self._bytes += size
        if self._count >= _TOGETHER or self._bytes >= _MANY_BYTES:
            link.flush()
        elif self._count == 1:
            link.flush_soon()

    def _write_dispatch(self, link: RedisLink, together: _Dispatch) -> None:
        head = self._heads.get(together.topic)
        if head is None:
            names = scripts.dispatch_names(self._transport.prefix, together.topic)
            head = _remember(self._heads, together.topic, pack_script(scripts.DISPATCH, names, 0).partition(b"\r\n")[2])
        avoid = together.avoid.encode()
        parts = [b"*%d\r\n%b$%d\r\n%b\r\n" % (_FIXED + len(together.frames), head, len(avoid), avoid)]
        parts += [b"$%d\r\n%b\r\n" % (len(data), data) for data in together.frames]
        link.send(b"".join(parts), partial(self._dispatched, link, together))

    def _dispatched(self, link: RedisLink, together: _Dispatch, reply: Any) -> None:
        if isinstance(reply, list):
            for answered, call_id, instance in zip(together.answered, together.call_ids, reply, strict=True):  # pyright: ignore[reportUnknownVariableType]
                answered(call_id, instance.decode(), None)
        elif isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            again = partial(self._dispatched, link, together)
            arguments = [together.avoid.encode(), *together.frames]
            self._transport.run(link, scripts.DISPATCH, scripts.dispatch_names, together.topic, arguments, again)
        else:
            error = command_error(reply)
            for answered, call_id in zip(together.answered, together.call_ids, strict=True):
                answered(call_id, "", error)


def _remember(heads: dict[str, bytes], name: str, head: bytes) -> bytes:
    """Keep a bounded number of heads; the hot ones are soon there again."""
    if len(heads) >= _REMEMBERED:
        heads.clear()
    heads[name] = head
    return head
