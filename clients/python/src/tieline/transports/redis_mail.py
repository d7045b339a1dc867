"""Durable events on Redis: streams that are appended to, claimed and settled by scripts (SPEC.md, section 14)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tieline import codec
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.durable.mail import (
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
from tieline.errors import PayloadTooLargeError, UnavailableError
from tieline.transports.redis_gathering import Run
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, bulk, pack
from tieline.transports.redis_mail_desk import RedisMailDesk
from tieline.transports.redis_server import RedisServer, command_error
from tieline.transports.redis_work import WorkLink

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_LANE = b"\0"
_UNKNOWN = bulk(b"") + bulk(b"0")
_FIELDS = 5
_PRIORITIES = [bulk(b"%d" % number) for number in range(contract.PRIORITY_CRITICAL + 1)]
_LATEST = 2**63 - 1  # a plain producer may name an entry as it likes
_NO_ROOM, _TAKEN = b"", b"!"
_REFUSED = {_NO_ROOM, _TAKEN}
_UNREADABLE = b"\xc1"  # no MessagePack begins so


class _Append(Run[Appended]):
    """Events of one topic that are stored by one run of `append`."""

    def __init__(self, mail: RedisMail, topic: str, most: int, together: bool) -> None:
        super().__init__(scripts.APPEND, mail.append_names(topic))
        self.topic = topic
        self.head = (b"%d" % most, b"%d" % contract.LIMIT_STREAM_ALONE, b"1" if together else b"0")
        self.number = 0
        self.drafts: list[Draft] = []
        self._mail = mail

    def put(self, drafts: Sequence[Draft]) -> asyncio.Future[list[Appended]]:
        """More of them."""
        self.drafts += drafts
        return self.add(b"".join(map(_packed, drafts)), _FIELDS * len(drafts), len(drafts))

    def first(self) -> Sequence[bytes]:
        return (*self.head, b"%d" % self.number)

    def before(self, link: RedisLink) -> None:
        if not self.number:
            self.number = self._mail.next_number(self.topic)
        self._mail.make_known(link, self.topic)

    def forgotten(self) -> None:
        self.number = self._mail.next_number(self.topic)  # it did not run, and later ones may have

    def told(self, reply: Sequence[bytes]) -> list[Appended]:
        return self._mail.told(self.topic, self.drafts, reply)


def _packed(draft: Draft) -> bytes:
    """A draft as `append` takes it, as part of a command."""
    text, priority, known_as, window, envelope = draft
    key = text.encode()
    known = bulk(known_as.encode()) + bulk(b"%d" % window) if known_as else _UNKNOWN
    rest = (_PRIORITIES[priority], known, len(envelope), envelope)
    return b"$%d\r\n%b\r\n%b%b$%d\r\n%b\r\n" % (len(key), key, *rest)


class RedisMail(RedisMailDesk):
    """Durable events of one process."""

    def __init__(self, transport: RedisTransport, server: RedisServer) -> None:
        super().__init__(transport.prefix)
        self._transport = transport
        self._producer = new_instance()
        self._numbers: dict[str, int] = {}
        self._topics: set[str] = set()
        self._waiting = WorkLink(server, transport.settings, lambda: f"{transport.name}:wait")
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
        link, gathering = self._transport.require(), self._transport.gathering
        if together:
            gathering.write(link)
            run = _Append(self, topic, most, together)
            future = run.put(drafts)
            gathering.send(link, run)
            return future
        run = gathering.run(("append", topic, most), lambda: _Append(self, topic, most, together))
        before, future = run.size, run.put(drafts)
        gathering.added(link, len(drafts), run.size - before)
        return future

    async def append_to_replicas(
        self, topic: str, drafts: Sequence[Draft], replicas: int, *, most: int = 0
    ) -> list[Appended]:
        """See `Mail.append_to_replicas`. It has a connection of its own: `WAIT` holds up what comes after it there."""
        run = _Append(self, topic, most, together=False)
        run.put(drafts)
        self._numbers.setdefault(topic, 0)
        settings = self._transport.settings
        patience = (settings.ping_interval + settings.pong_timeout) / 2  # longer, and the link is taken for dead
        try:
            link = await self._waiting.up()  # one for all of it: another connection has nothing to wait for
            link.send(pack("SADD", contract.mail_topics_key(self._prefix), topic))
            told = await self._waiting.run_packed(scripts.APPEND, run.names, *run.arguments(), on=link)
            wait = pack("WAIT", replicas, int(patience * 1000))
            reached = await self._waiting.call(wait, on=link) if set(told) - _REFUSED else replicas
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        if reached < replicas:
            raise UnavailableError(
                f"it is stored, but {reached} replicas have it instead of {replicas}", details={"replicas": reached}
            )
        return run.told(told)

    def append_names(self, topic: str) -> Sequence[str]:
        """What `append` is about."""
        return scripts.append_names(self._prefix, topic, self._producer)

    def next_number(self, topic: str) -> int:
        """Of a run of `append`: what has a lower number than what was stored last counts as stored."""
        number = self._numbers[topic] = self._numbers.get(topic, 0) + 1
        return number

    def make_known(self, link: RedisLink, topic: str) -> None:
        """Something is to be stored on a topic."""
        if topic not in self._topics:
            self._topics.add(topic)
            link.send(pack("SADD", contract.mail_topics_key(self._prefix), topic))

    def told(self, topic: str, drafts: Sequence[Draft], entries: Sequence[bytes]) -> list[Appended]:
        """Where events are, as `append` tells it."""
        prefix = self._prefix
        keyed, lanes = contract.stream_prefix_key(prefix, topic), contract.lane_prefix_key(prefix, topic)
        return [
            _appended(keyed + draft.key if draft.key else f"{lanes}{draft.priority}", entry)
            for draft, entry in zip(drafts, entries, strict=True)
        ]

    def link_down(self) -> None:
        """The link is gone; the server behind the next one may know no topics."""
        self._topics.clear()

    def close(self) -> None:
        """Nothing is sent any more."""
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

    async def claim(
        self, topic: str, group: str, slots: int, entries: int, lease: float, *, holder: str = ""
    ) -> Claimed:
        """See `Mail.claim`."""
        names = scripts.claim_names(self._prefix, topic, group)
        numbers = (slots, entries, contract.LIMIT_CLAIM_BYTES, int(lease * 1000))
        arguments = [topic.encode(), group.encode(), *(b"%d" % number for number in numbers), _held_by(holder)]
        token, again, lost, members = await self._run(scripts.CLAIM, names, arguments)
        seconds = int(again) / 1000 if again else None
        return Claimed(token, seconds, int(lost), [_member(topic, *member) for member in members])

    async def settle(
        self, topic: str, group: str, settlements: Sequence[Settlement], lease: float, *, claims: bool, holder: str = ""
    ) -> list[bool]:
        """See `Mail.settle`."""
        names = scripts.settle_names(self._prefix, topic, group)
        arguments = [topic.encode(), group.encode(), b"%d" % int(lease * 1000), b"1" if claims else b"0"]
        for member, token, verdict, argument, ids in settlements:
            arguments += (member, token + _held_by(holder), verdict.encode(), argument, b"%d" % len(ids), *ids)
        return [bool(told) for told in await self._run(scripts.SETTLE, names, arguments)]

    async def extend(
        self, topic: str, group: str, leases: Sequence[tuple[bytes, bytes]], lease: float, *, holder: str = ""
    ) -> list[bool]:
        """See `Mail.extend`."""
        names = scripts.extend_names(self._prefix, topic, group)
        arguments = [b"%d" % int(lease * 1000)]
        for member, token in leases:
            arguments += (member, token + _held_by(holder))
        return [bool(told) for told in await self._run(scripts.EXTEND, names, arguments)]


def _held_by(holder: str) -> bytes:
    """What stands behind the token of a lease that is somebody's alone."""
    return b"|" + holder.encode() if holder else b""


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
