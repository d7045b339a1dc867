"""The tape on Redis: a stream that recorders read through one consumer group (SPEC.md, section 17)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import frame, parse_frame
from tieline.history.tape import EVERYTHING, Kind, TapeEntry, TapeFigures, letter_entry
from tieline.transports.redis_link import LinkDownError, ReplyError, pack
from tieline.transports.redis_mail import plain_envelope
from tieline.transports.redis_server import RedisServer, command_error
from tieline.transports.redis_tape_watch import RedisTapeWatch
from tieline.transports.redis_work import WorkLink

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport

log = logging.getLogger("tieline")

_MS = 1000
_PLAIN_FIELDS = 8
_OVERHEAD = 64
_FORGET_MS = 3_600_000


class RedisTape:
    """See `Tape`. It has a connection on which it waits, and one for everything else."""

    def __init__(self, transport: RedisTransport, server: RedisServer) -> None:
        self._transport = transport
        self._prefix = transport.prefix
        self._waiting = WorkLink(server, transport.settings, lambda: f"{transport.name}:tape")
        self._work = WorkLink(server, transport.settings, lambda: f"{transport.name}:record")
        self._tape = contract.tape_key(self._prefix)
        self._watch = RedisTapeWatch(transport, server)
        self._sizes: dict[bytes, int] = {}
        self._known = EVERYTHING  # what is recorded, lest it is something else when the server has lost it

    async def register(self, topics: Sequence[str] = ()) -> tuple[str, ...]:
        """See `Tape.register`."""
        sizes = (contract.LIMIT_TAPE_EVENTS, contract.LIMIT_TAPE_BYTES, contract.DEFAULT_RECORDING_MS)
        arguments = [*(b"%d" % size for size in sizes), _told(topics), _told(self._known)]
        told = await self._run(scripts.RECORD, scripts.record_names(self._prefix), arguments)
        self._known = _patterns(told)
        return self._known

    async def read(self, recorder: str, *, wait: float, idle: float = 0.0) -> list[TapeEntry]:
        """See `Tape.read`."""
        sizes = (contract.LIMIT_TAPE_READ, contract.LIMIT_TAPE_READ_BYTES, int(idle * _MS), _FORGET_MS)
        arguments = [recorder.encode(), *(b"%d" % size for size in sizes)]
        try:
            found = await self._work.run(scripts.LISTEN, scripts.listen_names(self._prefix), arguments)
            if not found and wait > 0:
                found = await self._wait(recorder, wait)
        except (LinkDownError, ReplyError) as error:
            if "NOGROUP" not in str(error):
                raise command_error(error) from None
            await self.register()  # the server has lost it
            return []
        self._sizes.update((entry_id, _OVERHEAD + sum(map(len, fields))) for entry_id, fields in found)
        told = {entry_id.decode(): _entries(entry_id.decode(), fields) for entry_id, fields in found}
        await self.acknowledge([entry_id for entry_id, entries in told.items() if not entries])
        return [entry for entries in told.values() for entry in entries]

    async def _wait(self, recorder: str, seconds: float) -> list[Any]:
        """The next entry; what comes with it is read with the following ones."""
        group = ("XREADGROUP", "GROUP", "recorders", recorder, "COUNT", 1, "BLOCK", max(1, int(seconds * _MS)))
        told = await self._waiting.call(pack(*group, "STREAMS", self._tape, ">"))
        if not told:
            return []
        return next(iter(told.values())) if isinstance(told, dict) else told[0][1]

    async def acknowledge(self, entries: Sequence[str]) -> None:
        """See `Tape.acknowledge`."""
        if entries:
            ids = [entry.encode() for entry in entries]
            size = sum(self._sizes.get(entry_id, 0) for entry_id in ids)
            await self._run(scripts.RECORDED, scripts.recorded_names(self._prefix), [b"%d" % size, *ids])
            for entry_id in ids:
                self._sizes.pop(entry_id, None)

    async def there(self, places: Sequence[tuple[str, str]]) -> list[bool]:
        """See `Tape.there`."""
        if not places:
            return []
        arguments = [part.encode() for place in places for part in place]
        return list(map(bool, await self._run(scripts.LOOK, scripts.look_names(self._prefix), arguments)))

    async def figures(self) -> TapeFigures:
        """See `Tape.figures`."""
        waiting = await self._call("XLEN", self._tape)
        first = await self._call("XRANGE", self._tape, "-", "+", "COUNT", 1)
        lost, topics = await self._call("HMGET", contract.recording_key(self._prefix), "lost", "topics")
        oldest = int(first[0][0].partition(b"-")[0]) if first else None
        return TapeFigures(waiting, oldest, int(lost or 0), _patterns(topics or b""))

    async def watch(self, told: Callable[[TapeEntry], None], began: Callable[[], None]) -> None:
        """See `Tape.watch`."""

        def hear(fields: list[bytes]) -> None:
            for entry in _entries("", fields):
                told(entry)

        await self._watch.run(hear, began)

    async def replay(self, topic: str, group: str, envelopes: Sequence[Envelope]) -> int:
        """See `Tape.replay`."""
        arguments = [group.encode()]
        for envelope in envelopes:
            priority = b"%d" % (envelope.priority or contract.PRIORITY_NORMAL)
            arguments += (envelope.key.encode(), priority, envelope.SerializeToString())
        return int(await self._run(scripts.REPLAY, scripts.replay_names(self._prefix, topic), arguments))

    async def hand(self, group: str, envelope: Envelope) -> bool:
        """See `Tape.hand`."""
        arguments = [group.encode(), frame(envelope.SerializeToString())]
        wild = (pattern for pattern, name in self._transport.patterns.groups(envelope.topic) if name == group)
        for pattern in (envelope.topic, *wild):
            if await self._run(scripts.HAND, scripts.hand_names(self._prefix, pattern), arguments):
                return True
        return False

    def close(self) -> None:
        """Close its connections for good."""
        self._waiting.close()
        self._work.close()

    async def _run(self, script: scripts.Script, names: Sequence[str], arguments: Sequence[bytes]) -> Any:
        try:
            return await self._work.run(script, names, arguments)
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None

    async def _call(self, *command: str | int) -> Any:
        try:
            return await self._work.call(pack(*command))
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None


def _told(patterns: Sequence[str]) -> bytes:
    return b"".join(b"\0" + pattern.encode() for pattern in patterns)


def _patterns(told: bytes) -> tuple[str, ...]:
    return tuple(told.decode().split("\0")[1:])


def _entries(entry_id: str, fields: list[bytes]) -> list[TapeEntry]:
    """What an entry says; nothing if it cannot be read."""
    try:
        return _read(entry_id, fields)
    except (DecodeError, UnicodeDecodeError, IndexError, ValueError) as error:
        log.error("the entry %s of the tape cannot be read: %s", entry_id, error)
        return []


def _read(entry_id: str, fields: list[bytes]) -> list[TapeEntry]:
    name, data = fields[0].decode(), fields[1]
    if name == "plain":
        _, topic, _, key, _, stream, _, entry = fields[:_PLAIN_FIELDS]
        shown = key.decode("utf-8", "replace")
        envelope = plain_envelope(topic.decode(), shown, entry, fields[_PLAIN_FIELDS:])
        return [TapeEntry(entry_id, Kind.STORED, envelope, None, stream.decode("utf-8", "replace"), entry.decode())]
    kind = Kind(name)
    if kind is Kind.LIVE:
        return [TapeEntry(entry_id, kind, envelope) for envelope in parse_frame(data)]
    if kind in (Kind.DEAD, Kind.UNPARKED):
        return [letter_entry(entry_id, kind, data)]
    stream, entry = fields[3].decode("utf-8", "replace"), fields[5].decode()
    return [TapeEntry(entry_id, kind, Envelope.FromString(data), None, stream, entry)]
