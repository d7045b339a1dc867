"""Envelopes over Redis: one live link per process, shared by all ports (SPEC.md, section 7)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from tieline import topics
from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.scripts import Script
from tieline.clock import Clock
from tieline.envelope import new_instance, parse
from tieline.errors import Outcome, OverloadedError, TielineError, UnavailableError
from tieline.settings import Settings
from tieline.transport import Gap, Interest, Probed, Receiver
from tieline.transports.redis_link import Callback, LinkDownError, RedisLink, ReplyError, bulk, pack, pack_script
from tieline.transports.redis_patterns import Patterns
from tieline.transports.redis_registry import Registration
from tieline.transports.redis_server import RedisServer, command_error

log = logging.getLogger("tieline")

_CACHED_HEADS = 4096


class RedisTransport:
    """The way to one Redis server.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with the options of redis-py's URLs.
        namespace: separates installations on one server.
        settings: times and bounds.

    """

    def __init__(self, url: str, *, namespace: str = "", settings: Settings | None = None) -> None:
        if namespace:
            topics.check_group(namespace)
        self.settings = settings or Settings()
        self._server = RedisServer(url)
        database = self._server.database
        self.prefix = "tl:" if not namespace and not database else f"tl:{namespace}@{database}:"
        self.clock = Clock()
        self.patterns = Patterns()
        self.link: RedisLink | None = None
        self.registration = Registration(self)
        self.ports: dict[str, RedisPort] = {}
        self._heads: dict[tuple[str, str], bytes] = {}
        self._client_id = 0
        self._name = "tieline"
        self._up = asyncio.Event()
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._notice = contract.notice_channel(self.prefix).encode()
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0

    # --- Transport ------------------------------------------------------------------------------------------------

    async def open(self, service: str, receiver: Receiver) -> RedisPort:
        """See `Transport.open`."""
        port = RedisPort(self, receiver)
        async with self._opening:
            if not self._tasks:
                self._name = f"tieline:{service}:{port.instance}"
                await self._connect()
                self._start(self._keep_alive())
                self._start(self._keep_leases())
        self.ports[port.instance] = port
        await self.registration.join(port)
        receiver.on_connected(None)
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for port in list(self.ports.values()):
            await port.aclose()
        for task in self._tasks:
            task.cancel()
        if self.link is not None:
            self.link.close("closed")

    # --- the link -------------------------------------------------------------------------------------------------

    async def up(self) -> RedisLink:
        """The link, when there is one."""
        while self.link is None:
            if self._closed:
                raise UnavailableError("the event system is closed", outcome=Outcome.NOT_DELIVERED)
            await self._up.wait()
        return self.link

    def require(self) -> RedisLink:
        """The link, now.

        Raises:
            UnavailableError: there is none.
            OverloadedError: the server does not read what is sent to it.

        """
        link = self.link
        if link is None:
            message = f"Redis at {self._server.address} cannot be reached now; reconnecting"
            raise UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        if link.congested:
            raise OverloadedError("Redis is too slow for what is sent to it", retry_after=self.settings.retry_after)
        return link

    async def _connect(self) -> None:
        settings = self.settings
        made = partial(RedisLink, self._on_push, self._on_lost, settings.offline_buffer)
        link, client_id = await self._server.connect(made, self._name, settings.connect_timeout)
        previous, self._client_id = self._client_id, client_id
        try:
            if previous:
                link.send(pack("CLIENT", "KILL", "ID", previous))
            for script in scripts.SCRIPTS:
                link.send(pack("SCRIPT", "LOAD", script.source))
            await self._ask_time(link)
            await link.subscribe("SUBSCRIBE", [self._notice])
            await self.registration.everything(link)
            await self._read_patterns(link)
        except (LinkDownError, ReplyError, TielineError) as error:
            link.abort("registering failed")
            raise error if isinstance(error, TielineError) else command_error(error) from None
        self.link = link
        self._up.set()

    def _on_lost(self, why: str) -> None:
        link, self.link = self.link, None
        self._up.clear()
        if link is None or self._closed:
            return
        silent = self._loop_time() - link.heard_at
        since = self.clock.now() - int(silent * 1000)
        for port in list(self.ports.values()):
            port.receiver.on_disconnected(f"Redis at {self._server.address}: {why}")
        self._start(self._reconnect(since, why))

    async def _reconnect(self, since: int, why: str) -> None:
        pause = self.settings.reconnect_min
        while not self._closed:
            await asyncio.sleep(random.uniform(0, pause))
            try:
                await self._connect()
                break
            except TielineError as error:
                log.info("still no connection: %s", error)
                pause = min(pause * 2, self.settings.reconnect_max)
        if self.link is not None:
            kept, self._kept, self._kept_bytes = self._kept, deque(), 0
            for packed in kept:
                self.link.send(packed)
            gap = Gap(since, self.clock.now(), why)
            for port in list(self.ports.values()):
                port.receiver.on_connected(gap)

    async def _keep_alive(self) -> None:
        """Ask for the time; a server that does not answer is gone."""
        while True:
            await asyncio.sleep(self.settings.ping_interval)
            link = self.link
            if link is None:
                continue
            try:
                async with asyncio.timeout(self.settings.pong_timeout):
                    await self._ask_time(link)
            except TimeoutError:
                link.abort(f"no answer within {self.settings.pong_timeout:g} s")
            except (LinkDownError, ReplyError) as error:
                log.info("asking for the time failed: %s", error)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease_refresh)
            link = self.link
            if link is not None:
                with contextlib.suppress(LinkDownError, ReplyError):
                    await self.registration.refresh(link)
                    await self._read_patterns(link)

    async def _ask_time(self, link: RedisLink) -> None:
        asked = self.clock.monotonic()
        seconds, micros = await link.call("TIME")
        self.clock.learn(int(seconds) + int(micros) / 1e6, asked, self.clock.monotonic())

    async def _read_patterns(self, link: RedisLink) -> None:
        now = self.clock.now()
        key = contract.patterns_key(self.prefix)
        self.patterns.replace(await link.call("ZRANGE", key, f"({now}", "+inf", "BYSCORE"))

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _on_push(self, push: list[Any]) -> None:
        kind = push[0]
        if kind == b"smessage":
            take = self.registration.direct.get(push[1])
            envelope = parse(push[2])
            if take is not None and envelope is not None:
                take(envelope)
        elif kind == b"pmessage":
            self._on_broadcast(push[1], push[3])
        elif kind == b"message":
            if push[1] == self._notice:
                self.patterns.add(push[2])
            else:
                self._on_broadcast(push[1], push[2])

    def _on_broadcast(self, channel: bytes, data: bytes) -> None:
        envelope = parse(data)
        if envelope is None:
            return
        sender = envelope.source.rpartition("/")[2]
        for port, interest in list(self.registration.broadcast.get(channel, ())):
            if port.instance != sender and topics.matches(interest.pattern, envelope.topic):
                port.receiver.on_event(interest, envelope)

    # --- scripts --------------------------------------------------------------------------------------------------

    def head(self, script: Script, names: Any, pattern: str, arguments: int) -> bytes:
        """The cached head of a script's command for one topic or pattern."""
        key = (script.name, pattern) if arguments < 4 else (f"{script.name}{arguments}", pattern)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()
            head = self._heads[key] = pack_script(script, names(self.prefix, pattern), arguments)
        return head

    def run(
        self, link: RedisLink, script: Script, names: Any, pattern: str, arguments: Sequence[bytes], callback: Callback
    ) -> None:
        """Run a script; sends its source if the server has forgotten it."""
        tail = b"".join(map(bulk, arguments))

        def replied(reply: Any) -> None:
            if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
                whole = pack_script(script, names(self.prefix, pattern), len(arguments), whole=True)
                link.send(whole + tail, callback)
            else:
                callback(reply)

        link.send(self.head(script, names, pattern, len(arguments)) + tail, replied)

    async def answer_of(
        self, link: RedisLink, script: Script, names: Any, pattern: str, arguments: Sequence[bytes]
    ) -> Any:
        """Run a script and return what it returned; raises ReplyError or LinkDownError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(reply: Any) -> None:
            if future.done():
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.run(link, script, names, pattern, arguments, settle)
        return await future

    def keep(self, packed: bytes) -> None:
        """Keep an answer until the link is back; beyond the bound it is dropped, and its caller will hear of a loss."""
        if self._kept_bytes + len(packed) <= self.settings.offline_buffer:
            self._kept.append(packed)
            self._kept_bytes += len(packed)


class RedisPort:
    """One instance's place at a Redis server."""

    def __init__(self, transport: RedisTransport, receiver: Receiver) -> None:
        self.instance = new_instance()
        self.receiver = receiver
        self.interests: dict[Interest, None] = {}
        self._transport = transport
        self._inboxes: dict[str, bytes] = {}

    @property
    def clock(self) -> Clock:
        """See `Port.clock`."""
        return self._transport.clock

    @property
    def connected(self) -> bool:
        """See `Port.connected`."""
        return self._transport.link is not None

    async def register(self, interests: Sequence[Interest]) -> None:
        """See `Port.register`."""
        self.interests |= dict.fromkeys(interests)
        link = await self._transport.up()
        try:
            await self._transport.registration.add(link, self, interests)
        except LinkDownError:
            await self._transport.up()  # the reconnect has registered everything
        except ReplyError as error:
            raise command_error(error) from None

    async def unregister(self, interests: Sequence[Interest]) -> None:
        """See `Port.unregister`."""
        for interest in interests:
            self.interests.pop(interest, None)
        link = self._transport.link
        if link is not None:
            with contextlib.suppress(LinkDownError, ReplyError):
                await self._transport.registration.remove(link, self, interests)

    async def publish(self, envelope: Envelope, served: Collection[str]) -> None:
        """See `Port.publish`."""
        transport, topic = self._transport, envelope.topic
        link = transport.require()
        data = envelope.SerializeToString()
        wild = transport.patterns.groups(topic)
        observed = transport.patterns.observed(topic)
        try:
            done = set(served)
            channel = contract.event_channel(transport.prefix, topic).encode()
            done |= await self._share(link, topic, channel, data, done)
            for pattern, group in wild:
                if group not in done:
                    done |= await self._share(link, pattern, b"", data, done)
        except (LinkDownError, ReplyError) as error:
            raise command_error(error) from None
        if observed:
            self._to_observers(link, topic, data)

    async def _share(self, link: RedisLink, pattern: str, channel: bytes, data: bytes, served: set[str]) -> set[str]:
        arguments = [channel, data, *(group.encode() for group in served)]
        transport = self._transport
        groups = await transport.answer_of(link, scripts.PUBLISH, scripts.publish_names, pattern, arguments)
        return {group.decode() for group in groups}

    def dispatch(self, envelope: Envelope, avoid: str) -> None:
        """See `Port.dispatch`."""
        transport, topic, call_id = self._transport, envelope.topic, envelope.call_id
        try:
            link = transport.require()
        except TielineError as error:
            self.receiver.on_dispatched(call_id, "", error)
            return
        data = envelope.SerializeToString()
        if transport.patterns.observed(topic):
            self._to_observers(link, topic, data)
        head = transport.head(scripts.DISPATCH, scripts.dispatch_names, topic, 2)
        packed = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (head, len(avoid), avoid.encode(), len(data), data)
        link.send(packed, partial(self._dispatched, link, call_id, topic, avoid, data))

    def _dispatched(self, link: RedisLink, call_id: bytes, topic: str, avoid: str, data: bytes, reply: Any) -> None:
        if isinstance(reply, bytes):
            self.receiver.on_dispatched(call_id, reply.decode(), None)
        elif reply is None:
            self.receiver.on_dispatched(call_id, "", None)
        elif str(reply).startswith("NOSCRIPT"):
            again = partial(self._dispatched, link, call_id, topic, avoid, data)
            arguments = [avoid.encode(), data]
            self._transport.run(link, scripts.DISPATCH, scripts.dispatch_names, topic, arguments, again)
        else:
            self.receiver.on_dispatched(call_id, "", command_error(reply))

    def answer(self, to: str, envelope: Envelope) -> None:
        """See `Port.answer`."""
        head = self._inboxes.get(to)
        if head is None:
            if len(self._inboxes) >= _CACHED_HEADS:
                self._inboxes.clear()
            channel = contract.inbox_channel(self._transport.prefix, to).encode()
            head = self._inboxes[to] = b"*3\r\n$8\r\nSPUBLISH\r\n" + bulk(channel)
        data = envelope.SerializeToString()
        packed = b"%b$%d\r\n%b\r\n" % (head, len(data), data)
        link = self._transport.link
        if link is not None:
            link.send(packed)
        else:
            self._transport.keep(packed)

    def observe(self, envelope: Envelope) -> None:
        """See `Port.observe`."""
        link = self._transport.link
        if link is not None and self._transport.patterns.observed(envelope.topic):
            self._to_observers(link, envelope.topic, envelope.SerializeToString())

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
