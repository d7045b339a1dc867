"""One instance's place at a Redis server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.envelope import REPLY, frame, new_instance
from tieline.errors import Outcome, TielineError
from tieline.history.tape import Tape
from tieline.transport import Interest, Place, Probed, Receiver
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError, pack
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport
    from tieline.transports.redis_agenda import RedisAgenda
    from tieline.transports.redis_mail import RedisMail


class RedisPort:
    """One instance's place at a Redis server."""

    in_process = False

    def __init__(self, transport: RedisTransport, service: str, receiver: Receiver) -> None:
        self.instance = new_instance()
        self.service = service
        self.receiver = receiver
        self.interests: dict[Interest, None] = {}
        self.leaving: dict[Interest, None] = {}
        """Given up, and perhaps still known to the server: whoever waited for it may have been cancelled."""
        self._transport = transport

    @property
    def clock(self) -> Clock:
        """See `Port.clock`."""
        return self._transport.clock

    @property
    def agenda(self) -> RedisAgenda:
        """See `Port.agenda`."""
        return self._transport.agenda

    @property
    def mail(self) -> RedisMail:
        """See `Port.mail`."""
        return self._transport.mail

    @property
    def tape(self) -> Tape:
        """See `Port.tape`."""
        return self._transport.tape

    @property
    def connected(self) -> bool:
        """See `Port.connected`."""
        return self._transport.link is not None

    @property
    def observing(self) -> bool:
        """See `Port.observing`."""
        return self._transport.patterns.observing

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        self.interests |= dict.fromkeys(interests)
        link = await self._transport.up()
        try:
            await self._transport.registration.add(link, self, interests)
        except LinkDownError:
            await self._transport.up()  # the reconnect has registered everything
        except ReplyError as error:
            await self.unregister(interests)  # what is refused once would make every reconnect fail
            raise command_error(error) from None

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self.interests.pop(interest, None)
        self.leaving |= dict.fromkeys(interests)
        link = self._transport.link or self._transport.settling
        if link is not None:
            with contextlib.suppress(LinkDownError, ReplyError):
                await self._transport.registration.remove(link, self, interests)
        for interest in interests:
            self.leaving.pop(interest, None)

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        transport, topic = self._transport, envelope.topic
        link = transport.require()
        data = frame(envelope.SerializeToString())
        wild = transport.patterns.groups(topic)
        observed = transport.patterns.observed(topic)
        sent = False
        try:
            done = set(served)
            channel = contract.event_channel(transport.prefix, topic).encode()
            done |= await self._share(link, topic, channel, data, done)
            sent = True
            for pattern, group in wild:
                if group not in done:
                    done |= await self._share(link, pattern, b"", data, done)
        except (LinkDownError, ReplyError) as failure:
            error = command_error(failure)
            if sent:
                error.outcome = Outcome.MAY_HAVE_RUN
            raise error from None
        if observed:
            self._to_observers(link, topic, data)

    async def _share(self, link: RedisLink, pattern: str, channel: bytes, data: bytes, served: set[str]) -> set[str]:
        arguments = [channel, data, *(group.encode() for group in served)]
        transport = self._transport
        groups = await transport.answer_of(link, scripts.PUBLISH, scripts.publish_names, pattern, arguments)
        return {group.decode() for group in groups}

    def dispatch(self, envelope: Envelope, avoid: str = "", to: str = "") -> bytes:
        """See `Port.dispatch`."""
        transport, call_id = self._transport, envelope.call_id
        link = transport.link
        if link is None or link.congested:
            self.receiver.on_dispatched(call_id, "", transport.refusal())
            return b""
        data = envelope.SerializeToString()
        if to:
            self._send_to(link, to, envelope.topic, call_id, data)
            return data
        if envelope.idempotency_key:
            return transport.runs.claim(link, self, envelope, avoid)
        transport.outbox.dispatch(link, envelope.topic, avoid, call_id, data, self.receiver.on_dispatched)
        return data

    def _send_to(self, link: RedisLink, to: str, topic: str, call_id: bytes, data: bytes) -> None:
        channel = contract.request_channel(self._transport.prefix, topic, to)

        def told(reply: Any) -> None:
            error = command_error(reply) if isinstance(reply, Exception) else None
            self.receiver.on_dispatched(call_id, to if error is None and reply else "", error)

        link.send(pack("SPUBLISH", channel, frame(data)), told)

    async def responders(self, topic: str) -> list[Place]:
        """See `Port.responders`."""
        transport = self._transport
        link = transport.require()
        try:
            found = await transport.answer_of(link, scripts.RESPONDERS, scripts.responders_names, topic, [])
            groups = {found[at].decode(): tuple(map(bytes.decode, found[at + 1])) for at in range(0, len(found), 2)}
            services = await self._services(link, groups)
        except (LinkDownError, ReplyError) as failure:
            error = command_error(failure)
            error.outcome = Outcome.NOT_DELIVERED
            raise error from None
        return [Place(service.decode(), instance, groups[instance]) for instance, service in services.items()]

    async def _services(self, link: RedisLink, instances: Collection[str]) -> dict[str, bytes]:
        """The service of each instance that is alive, from its lease."""
        leases = {i: link.ask(pack("GET", contract.lease_key(self._transport.prefix, i))) for i in instances}
        try:
            return {i: service for i, lease in leases.items() if (service := await lease) is not None}
        finally:
            for lease in leases.values():
                lease.cancel()

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        transport = self._transport
        if envelope.kind == REPLY and envelope.idempotency_key:
            transport.runs.settle(transport.link, self, to, envelope)
            return
        data = envelope.SerializeToString()
        if transport.link is not None:
            transport.outbox.answer(transport.link, to, data)
        else:
            transport.keep(transport.outbox.packed_answer(to, frame(data)))

    def release(self, request: Envelope, error: TielineError) -> None:
        """See `Port.release`."""
        self._transport.runs.release(self, request, error)

    def keep_trail(self, correlation_id: str, trail: bytes) -> None:
        """See `Port.keep_trail`."""
        transport = self._transport
        if transport.link is not None:
            most, most_bytes = contract.LIMIT_TRAILS, contract.LIMIT_TRAIL_BYTES
            arguments = [correlation_id.encode(), trail, b"%d" % most, b"%d" % most_bytes]
            transport.run(transport.link, scripts.TRAIL, _trail_names, "", arguments, lambda reply: None)

    async def find_trail(self, correlation_id: str) -> bytes:
        """See `Port.find_trail`."""
        key = contract.trails_key(self._transport.prefix)
        try:
            found: bytes | None = await self._transport.require().call("HGET", key, correlation_id)
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        return found or b""

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        link = self._transport.link
        if link is not None and self._transport.patterns.observed(envelope.topic):
            self._to_observers(link, envelope.topic, frame(envelope.SerializeToString()))

    def _to_observers(self, link: RedisLink, topic: str, data: bytes) -> None:
        link.send(pack("PUBLISH", contract.observed_channel(self._transport.prefix, topic), data))

    async def probe(self, instances: Collection[str]) -> Probed:
        """See `Port.probe`."""
        link, prefix = self._transport.require(), self._transport.prefix
        inboxes = {contract.inbox_channel(prefix, instance).encode(): instance for instance in instances}
        listening = link.ask(pack("PUBSUB", "SHARDNUMSUB", *inboxes))
        leases = {i: link.ask(pack("EXISTS", contract.lease_key(prefix, i))) for i in instances}
        try:
            counts = await listening
            pairs = counts.items() if isinstance(counts, dict) else zip(counts[::2], counts[1::2], strict=True)
            silent = frozenset(inboxes[channel] for channel, count in pairs if not count)
            return Probed(silent, frozenset([i for i, lease in leases.items() if not await lease]))
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        finally:
            for lease in leases.values():
                lease.cancel()

    async def aclose(self) -> None:
        """See `Port.aclose`."""
        if self._transport.ports.pop(self.instance, None) is not None and self._transport.link is not None:
            with contextlib.suppress(LinkDownError, ReplyError, TimeoutError):
                async with asyncio.timeout(self._transport.settings.pong_timeout):
                    await self._transport.registration.leave(self._transport.link, self)


def _trail_names(prefix: str, _: str) -> tuple[str, ...]:
    return scripts.trail_names(prefix)
