"""Which channels and memberships an interest means in Redis, and keeping them (the table in SPEC.md, section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tieline import topics
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.transport import Interest, Route
from tieline.transports.redis_link import RedisLink, pack
from tieline.transports.redis_patterns import group_entry, observer_entry

if TYPE_CHECKING:
    from tieline.transports.redis import RedisPort, RedisTransport

_AT_ONCE = 500
_DIRECT = (Route.REQUEST, Route.GROUP)


class Channel(NamedTuple):
    """A channel or glob, and its kind: "S" sharded, "P" glob, "" plain."""

    kind: str
    name: bytes


class Membership(NamedTuple):
    """What an instance is on one topic or pattern."""

    pattern: str
    responder: bool
    groups: list[str]

    def arguments(self, instance: str) -> list[bytes]:
        """As the scripts register and leave take them."""
        return [instance.encode(), b"1" if self.responder else b"0", *(group.encode() for group in self.groups)]


class Registration:
    """The channels this process listens to, and the memberships of its ports."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self.direct: dict[bytes, Callable[[Envelope], None]] = {}
        self.broadcast: dict[bytes, list[tuple[RedisPort, Interest]]] = {}
        self.mail: dict[bytes, list[tuple[RedisPort, Interest]]] = {}

    async def join(self, port: RedisPort) -> None:
        """A new instance: its inbox and its lease."""
        link = await self._transport.up()
        await asyncio.gather(_subscribe(link, [self._open_inbox(port)]), link.ask(self._lease(port)))

    async def leave(self, link: RedisLink, port: RedisPort) -> None:
        """An instance is gone: memberships first, then channels, inbox and lease."""
        interests, port.interests = [*port.leaving, *port.interests], {}
        await self.remove(link, port, interests)
        inbox = self._inbox(port)
        self.direct.pop(inbox.name, None)
        lease = contract.lease_key(self._transport.prefix, port.instance)
        await asyncio.gather(_subscribe(link, [inbox], "UN"), link.ask(pack("DEL", lease)))

    async def add(self, link: RedisLink, port: RedisPort, interests: Sequence[Interest]) -> None:
        """Channels first; membership when they are confirmed."""
        plain = self._transport.plain
        new = {interest.pattern for interest in interests if interest.route == Route.MAIL} - plain.topics
        await _subscribe(link, [*[self._open(port, interest) for interest in interests], *self._notices()])
        plain.look_for(new)
        await self._write(link, port, interests)

    async def remove(self, link: RedisLink, port: RedisPort, interests: Sequence[Interest]) -> None:
        """Membership first; channels when everything dispatched before has arrived."""
        run = self._transport.answer_of
        for member in _memberships(interests):
            arguments = member.arguments(port.instance)
            await run(link, scripts.LEAVE, scripts.leave_names, member.pattern, arguments)
        unused = [channel for interest in interests if (channel := self._close(port, interest)) is not None]
        await _subscribe(link, unused, "UN")

    async def everything(self, link: RedisLink) -> None:
        """After a connect: all channels, then all leases and memberships."""
        self.direct.clear()
        self.broadcast.clear()
        self.mail.clear()
        ports = list(self._transport.ports.values())
        channels = [self._open_inbox(port) for port in ports]
        channels += [self._open(port, interest) for port in ports for interest in port.interests]
        await _subscribe(link, [*channels, *self._notices()])
        await self.refresh(link)

    def _notices(self) -> list[Channel]:
        """Who consumes durable events listens to plain producers; asking for it again does no harm."""
        if not self.mail:
            return []
        self._transport.plain.begin()
        return [Channel("", self._transport.plain.channel)]

    async def refresh(self, link: RedisLink) -> None:
        """Write all leases and memberships once more, in one go."""
        ports = list(self._transport.ports.values())
        leases = [link.ask(self._lease(port)) for port in ports]
        await asyncio.gather(*leases, *(self._write(link, port, list(port.interests)) for port in ports))

    async def _write(self, link: RedisLink, port: RedisPort, interests: Sequence[Interest]) -> None:
        run = self._transport.answer_of
        lease = str(int(self._transport.settings.lease * 1000)).encode()
        writes: list[Any] = [
            run(link, scripts.REGISTER, scripts.register_names, m.pattern, [lease, *m.arguments(port.instance)])
            for m in _memberships(interests)
        ]
        entries = _entries(interests)
        if entries:
            writes.append(run(link, scripts.ANNOUNCE, _announce_names, "", [lease, *entries]))
        await asyncio.gather(*writes)

    def _lease(self, port: RedisPort) -> bytes:
        key = contract.lease_key(self._transport.prefix, port.instance)
        return pack("SET", key, port.service, "PX", int(self._transport.settings.lease * 1000))

    # --- channels -------------------------------------------------------------------------------------------------

    def _inbox(self, port: RedisPort) -> Channel:
        return Channel("S", contract.inbox_channel(self._transport.prefix, port.instance).encode())

    def _open_inbox(self, port: RedisPort) -> Channel:
        channel = self._inbox(port)
        self.direct[channel.name] = port.receiver.on_answer
        return channel

    def _open(self, port: RedisPort, interest: Interest) -> Channel:
        """Route what arrives on the interest's channel to the port."""
        channel = self._channel(port, interest)
        if interest.route == Route.REQUEST:
            self.direct[channel.name] = port.receiver.on_request
        elif interest.route == Route.GROUP:
            receiver = port.receiver
            self.direct[channel.name] = lambda envelope: receiver.on_event(interest, envelope)
        else:
            takers = self._takers(interest).setdefault(channel.name, [])
            if (port, interest) not in takers:
                takers.append((port, interest))
        return channel

    def _close(self, port: RedisPort, interest: Interest) -> Channel | None:
        """Stop routing; the channel, if nobody here needs it any more."""
        channel = self._channel(port, interest)
        if interest.route in _DIRECT:
            return channel if self.direct.pop(channel.name, None) else None
        shared = self._takers(interest)
        takers = shared.get(channel.name, [])
        if (port, interest) in takers:
            takers.remove((port, interest))
        if takers:
            return None
        return channel if shared.pop(channel.name, None) is not None else None

    def _takers(self, interest: Interest) -> dict[bytes, list[tuple[RedisPort, Interest]]]:
        return self.mail if interest.route == Route.MAIL else self.broadcast

    def _channel(self, port: RedisPort, interest: Interest) -> Channel:
        prefix, pattern = self._transport.prefix, interest.pattern
        if interest.route == Route.REQUEST:
            return Channel("S", contract.request_channel(prefix, pattern, port.instance).encode())
        if interest.route == Route.GROUP:
            return Channel("S", contract.group_channel(prefix, pattern, port.instance, interest.group).encode())
        if interest.route == Route.MAIL:
            return Channel("S", contract.wake_channel(prefix, pattern).encode())
        named = contract.event_channel if interest.route == Route.EVENT else contract.observed_channel
        kind = "P" if topics.is_pattern(pattern) else ""
        return Channel(kind, named(prefix, pattern.replace(">", "*")).encode())


def _announce_names(prefix: str, _: str) -> tuple[str, ...]:
    return scripts.announce_names(prefix)


def _memberships(interests: Iterable[Interest]) -> list[Membership]:
    found: dict[str, Membership] = {}
    for route, pattern, group in interests:
        if route == Route.REQUEST or route == Route.GROUP:
            member = found.get(pattern) or Membership(pattern, False, [])
            if route == Route.REQUEST:
                member = member._replace(responder=True)
            else:
                member.groups.append(group)
            found[pattern] = member
    return list(found.values())


def _entries(interests: Iterable[Interest]) -> list[bytes]:
    """What must be announced: wildcard groups and observers."""
    entries = [observer_entry(i.pattern) for i in interests if i.route == Route.OBSERVER]
    wild = [i for i in interests if i.route == Route.GROUP and topics.is_pattern(i.pattern)]
    return [entry.encode() for entry in entries + [group_entry(i.pattern, i.group) for i in wild]]


async def _subscribe(link: RedisLink, channels: Iterable[Channel], un: str = "") -> None:
    """(Un)subscribe to all channels and wait until all are confirmed."""
    by_kind: dict[str, list[bytes]] = {}
    for channel in channels:
        by_kind.setdefault(channel.kind, []).append(channel.name)
    futures = [
        link.subscribe(f"{kind}{un}SUBSCRIBE", names[at : at + _AT_ONCE])
        for kind, names in by_kind.items()
        for at in range(0, len(names), _AT_ONCE)
    ]
    await asyncio.gather(*futures)
