"""Durable events on Redis: streams that are appended to, claimed and settled by scripts (SPEC.md, section 14)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tieline import codec
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.durable import (
    Appended,
    Claimed,
    Draft,
    Enrolled,
    Entry,
    Member,
    NoStream,
    Settlement,
    Stored,
    group_removed,
)
from tieline.envelope import EVENT, new_instance
from tieline.errors import PayloadTooLargeError, TielineError, UnavailableError
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, bulk, pack, pack_script
from tieline.transports.redis_mail_desk import RedisMailDesk
from tieline.transports.redis_server import RedisServer, command_error
from tieline.transports.redis_work import WorkLink

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_TOGETHER = 64
_MANY_BYTES = 262_144
_LANE = b"\0"
_UNKNOWN = (b"", b"0")
_LATEST = 2**63 - 1  # a plain producer may name an entry as it likes
_NO_ROOM, _TAKEN = b"", b"!"
_REFUSED = {_NO_ROOM, _TAKEN}
_UNREADABLE = b"\xc1"  # no MessagePack begins so


class _Batch:
    """Events of one topic that are stored by one run of the script, and who waits for it."""

    __slots__ = ("arguments", "drafts", "head", "number", "size", "topic", "waiting")

    def __init__(self, topic: str, most: int, together: bool) -> None:
        self.topic = topic
        self.head = (b"%d" % most, b"%d" % contract.LIMIT_STREAM_ALONE, b"1" if together else b"0")
        self.number = 0
        self.arguments: list[bytes] = []
        self.drafts: list[Draft] = []
        self.size = 0
        self.waiting: list[tuple[int, asyncio.Future[list[Appended]]]] = []

    def add(self, drafts: Sequence[Draft]) -> asyncio.Future[list[Appended]]:
        arguments = self.arguments
        for key, priority, known_as, window, envelope in drafts:
            known = (known_as.encode(), b"%d" % window) if known_as else _UNKNOWN
            arguments += (key.encode(), b"%d" % priority, *known, envelope)
            self.size += len(envelope)
        self.drafts += drafts
        future: asyncio.Future[list[Appended]] = asyncio.get_running_loop().create_future()
        self.waiting.append((len(drafts), future))
        return future

    def command(self, names: Sequence[str], *, whole: bool = False) -> bytes:
        """The run of the script; `whole` sends its source."""
        arguments = [*self.head, b"%d" % self.number, *self.arguments]
        return pack_script(scripts.APPEND, names, len(arguments), whole=whole) + b"".join(map(bulk, arguments))

    def fail(self, error: TielineError) -> None:
        for _, future in self.waiting:
            if not future.done():
                future.set_exception(error)


class RedisMail(RedisMailDesk):
    """Durable events of one process."""

    def __init__(self, transport: RedisTransport, server: RedisServer) -> None:
        super().__init__(transport.prefix)
        self._transport = transport
        self._producer = new_instance()
        self._numbers: dict[str, int] = {}
        self._gathered: dict[tuple[str, int], _Batch] = {}
        self._count = self._bytes = 0
        self._unanswered: deque[_Batch] = deque()
        self._giving_up: asyncio.TimerHandle | None = None
        self._topics: set[str] = set()
        self._waiting = WorkLink(server, transport.settings, lambda: f"{transport.name}:wait")
        self._closed = False
        self.work = WorkLink(server, transport.settings, lambda: transport.name)

    @property
    def has_appended(self) -> bool:
        """Whether something was stored here."""
        return bool(self._numbers)

    # --- append ---------------------------------------------------------------------------------------------------

    def append(
        self, topic: str, drafts: Sequence[Draft], *, together: bool = False, most: int = 0
    ) -> asyncio.Future[list[Appended]]:
        """See `Mail.append`. What is stored in one turn of the loop goes to the server in one command for each topic.

        Raises:
            UnavailableError, OverloadedError: nothing can be sent now.

        """
        link = self._transport.require()
        if together:
            self.write(link)
            batch = _Batch(topic, most, together)
            future = batch.add(drafts)
            self._send(link, batch)
            return future
        batch = self._gathered.get((topic, most))
        if batch is None:
            batch = self._gathered[topic, most] = _Batch(topic, most, together)
        before = batch.size
        future = batch.add(drafts)
        self._count += len(drafts)
        self._bytes += batch.size - before
        if self._count >= _TOGETHER or self._bytes >= _MANY_BYTES:
            self.write(link)
            link.flush()
        else:
            link.flush_soon()
        return future

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """See `Mail.append_to_replicas`. It has a connection of its own: `WAIT` holds up what comes after it there."""
        batch = _Batch(topic, most, together=False)
        batch.add(drafts)
        self._numbers.setdefault(topic, 0)
        arguments = [*batch.head, b"0", *batch.arguments]
        names = scripts.append_names(self._prefix, topic, self._producer)
        settings = self._transport.settings
        patience = (settings.ping_interval + settings.pong_timeout) / 2  # longer, and the link is taken for dead
        try:
            link = await self._waiting.up()  # one for all of it: another connection has nothing to wait for
            link.send(pack("SADD", contract.mail_topics_key(self._prefix), topic))
            told = await self._waiting.run(scripts.APPEND, names, arguments, on=link)
            wait = pack("WAIT", replicas, int(patience * 1000))
            reached = await self._waiting.call(wait, on=link) if set(told) - _REFUSED else replicas
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        if reached < replicas:
            raise UnavailableError(
                f"it is stored, but {reached} replicas have it instead of {replicas}", details={"replicas": reached}
            )
        return self._told(batch, told)

    def write(self, link: RedisLink) -> None:
        """Turn what is gathered into commands."""
        if self._gathered:
            gathered, self._gathered = self._gathered, {}
            self._count = self._bytes = 0
            for batch in gathered.values():
                self._send(link, batch)

    def _send(self, link: RedisLink, batch: _Batch) -> None:
        topic = batch.topic
        if not batch.number:
            self._number(batch)
        if topic not in self._topics:
            self._topics.add(topic)
            link.send(pack("SADD", contract.mail_topics_key(self._prefix), topic))
        names = scripts.append_names(self._prefix, topic, self._producer)

        def replied(reply: Any) -> None:
            if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
                self._number(batch)  # it did not run, and later ones may have
                link.send(batch.command(names, whole=True), partial(self._appended, batch))
            else:
                self._appended(batch, reply)

        link.send(batch.command(names), replied)

    def _number(self, batch: _Batch) -> None:
        """What has a lower number than what was stored last counts as stored."""
        batch.number = self._numbers[batch.topic] = self._numbers.get(batch.topic, 0) + 1

    def _appended(self, batch: _Batch, reply: Any) -> None:
        if isinstance(reply, LinkDownError):
            self._unanswered.append(batch)
            self.link_down()
        elif isinstance(reply, Exception):
            batch.fail(command_error(reply))
        else:
            stored = self._told(batch, reply)
            at = 0
            for count, future in batch.waiting:
                if not future.done():
                    future.set_result(stored[at : at + count])
                at += count

    def _told(self, batch: _Batch, entries: Sequence[bytes]) -> list[Appended]:
        prefix, topic = self._prefix, batch.topic
        keyed, lanes = contract.stream_prefix_key(prefix, topic), contract.lane_prefix_key(prefix, topic)
        return [
            _appended(keyed + draft.key if draft.key else f"{lanes}{draft.priority}", entry)
            for draft, entry in zip(batch.drafts, entries, strict=True)
        ]

    def link_down(self) -> None:
        """The link is gone: keep what was gathered and what was not answered, for so long."""
        self._topics.clear()
        if self._closed:
            self._give_up()
        elif (self._unanswered or self._gathered) and self._giving_up is None:
            seconds = contract.DEFAULT_APPEND_RESEND_MS / 1000
            self._giving_up = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def resume(self, link: RedisLink) -> None:
        """The link is back: store what may not have been stored, in its order, and then what was only gathered."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        for batch in self._take_kept():
            self._send(link, batch)

    def _give_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        for batch in self._take_kept():
            batch.fail(command_error(LinkDownError("the server did not come back in time")))

    def _take_kept(self) -> list[_Batch]:
        """What had no answer, in its order, and what was only gathered."""
        kept = [*self._unanswered, *self._gathered.values()]
        self._unanswered, self._gathered = deque(), {}
        self._count = self._bytes = 0
        return kept

    def close(self) -> None:
        """Nothing is sent any more, and nobody waits: what has no answer yet may be stored."""
        self._closed = True
        if self._transport.link is None:
            self._give_up()
        self.work.close()
        self._waiting.close()

    # --- claim and settle -----------------------------------------------------------------------------------------

    async def enroll(self, topic: str, group: str, *, latest: bool, again: bool = False, service: str = "") -> Enrolled:
        """See `Mail.enroll`."""
        await self._call("SADD", contract.mail_topics_key(self._prefix), topic)
        names, new = scripts.enroll_names(self._prefix, topic), False
        other = b""
        while True:
            arguments = [group.encode(), b"%d" % latest, b"%d" % again, service.encode()]
            told, more, seen = await self._run(scripts.ENROLL, names, arguments)
            if told == b"removed":
                raise group_removed(topic, group)
            new, other = new or told == b"1", other or seen
            if more == b"0":
                return Enrolled(new, other.decode())
            again = True  # should somebody remove it meanwhile

    async def claim(self, topic: str, group: str, slots: int, entries: int, lease: float) -> Claimed:
        """See `Mail.claim`."""
        names = scripts.claim_names(self._prefix, topic, group)
        numbers = (slots, entries, contract.LIMIT_CLAIM_BYTES, int(lease * 1000))
        arguments = [topic.encode(), group.encode(), *(b"%d" % number for number in numbers)]
        token, again, lost, members = await self._run(scripts.CLAIM, names, arguments)
        seconds = int(again) / 1000 if again else None
        return Claimed(token, seconds, int(lost), [_member(topic, *member) for member in members])

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool
    ) -> list[bool]:
        """See `Mail.settle`."""
        names = scripts.settle_names(self._prefix, topic, group)
        arguments = [topic.encode(), group.encode(), b"%d" % int(lease * 1000), b"1" if claims else b"0"]
        for member, token, verdict, argument, ids in settlements:
            arguments += (member, token, verdict.encode(), argument, b"%d" % len(ids), *ids)
        return [bool(told) for told in await self._run(scripts.SETTLE, names, arguments)]

    async def extend(self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float) -> list[bool]:
        """See `Mail.extend`."""
        names = scripts.extend_names(self._prefix, topic, group)
        arguments = [b"%d" % int(lease * 1000)]
        for member, token in leases:
            arguments += (member, token)
        return [bool(told) for told in await self._run(scripts.EXTEND, names, arguments)]


def _appended(stream: str, told: bytes) -> Appended:
    if told == _NO_ROOM:
        return None
    if told == _TAKEN:
        return NoStream(stream)
    entry = told.decode()
    if entry[0] != "=":
        return Stored(stream, entry)
    return Stored(stream, entry[1:], len(entry) > 1)


def _member(topic: str, name: bytes, failures: bytes, entries: list[Any]) -> Member:
    key = "" if name.startswith(_LANE) else name.decode("utf-8", "replace")
    read = [_entry(topic, key, entry, fields) for entry, fields in entries]
    return Member(name, key, int(failures), read)


def _entry(topic: str, key: str, entry: bytes, fields: list[bytes]) -> Entry:
    """An entry has the envelope in its field `tl`, and perhaps a group; any other one is a plain producer's."""
    if fields[::2] in ([b"tl"], [b"tl", b"group"]):
        return Entry(entry, fields[1], _text(fields[3]) if len(fields) > 2 else "")
    return Entry(entry, plain_envelope(topic, key, entry, fields).SerializeToString())


def plain_envelope(topic: str, key: str, entry: bytes, fields: Sequence[bytes]) -> Envelope:
    """The event that a plain producer's entry stands for."""
    data = {_text(fields[at]): _text_or_bytes(fields[at + 1]) for at in range(0, len(fields), 2)}
    return Envelope(
        id=f"{topic}:{key}:{entry.decode()}",
        kind=EVENT,  # pyright: ignore[reportArgumentType]
        topic=topic,
        key=key,
        time=min(int(entry.partition(b"-")[0]), _LATEST),
        data=_encoded(data, topic, key),
    )


def _encoded(data: dict[str, Any], topic: str, key: str) -> bytes:
    """As a handler gets it; what is too large fails there, and not in the claim of everything else."""
    try:
        return codec.encode(data)
    except PayloadTooLargeError as error:
        log.error("an event of %r with key %r that another program wrote cannot be read: %s", topic, key, error)
        return _UNREADABLE


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
