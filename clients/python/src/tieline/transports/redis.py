"""Envelopes over Redis: one live link per process, shared by all ports (SPEC.md, section 7)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from tieline import topics
from tieline._contract import contract, scripts
from tieline._contract.scripts import Script
from tieline.clock import Clock
from tieline.envelope import parse_frame
from tieline.errors import Outcome, OverloadedError, TielineError, UnavailableError
from tieline.settings import Settings
from tieline.transport import Gap, Receiver
from tieline.transports.redis_agenda import RedisAgenda
from tieline.transports.redis_gathering import Gathering
from tieline.transports.redis_link import (
    Callback,
    LinkDownError,
    RedisLink,
    ReplyError,
    bulk,
    pack,
    pack_script,
    settle,
)
from tieline.transports.redis_mail import RedisMail
from tieline.transports.redis_outbox import RedisOutbox
from tieline.transports.redis_patterns import Patterns
from tieline.transports.redis_plain import PlainProducers
from tieline.transports.redis_port import RedisPort
from tieline.transports.redis_registry import Registration
from tieline.transports.redis_retention import Retention
from tieline.transports.redis_runs import RedisRuns
from tieline.transports.redis_server import ClientId, RedisServer, command_error
from tieline.transports.redis_tape import RedisTape

log = logging.getLogger("tieline")
_LATE_SECONDS = 0.1


class RedisTransport:
    """The way to one Redis server.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with the parameters of redis-py's URLs.
        namespace: separates installations on one server.
        settings: times and bounds.

    """

    def __init__(self, url: str, *, namespace: str = "", settings: Settings | None = None) -> None:
        if namespace:
            topics.check_group(namespace)
        self.settings = settings or Settings()
        self._server = RedisServer(url)
        self.prefix = self._server.prefix(namespace)
        self.clock = Clock()
        self.patterns = Patterns()
        self.link: RedisLink | None = None
        self.settling: RedisLink | None = None
        self.registration = Registration(self)
        self.ports: dict[str, RedisPort] = {}
        self.outbox = RedisOutbox(self)
        self.runs = RedisRuns(self)
        self.gathering = Gathering(self)
        self.mail = RedisMail(self, self._server)
        self.agenda = RedisAgenda(self)
        self.plain = PlainProducers(self)
        self.tape = RedisTape(self, self._server)
        self.retention = Retention(self)
        self._client_id = ClientId("", "")
        self.name = "tieline"
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
        port = RedisPort(self, service, receiver)
        async with self._opening:
            if not self._tasks:
                self.name = f"tieline:{service}:{port.instance}"
                await self._connect()
                self._start(self._keep_alive())
                self._start(self._keep_leases())
                self._start(self.retention.run())
        self.ports[port.instance] = port
        try:
            await self.registration.join(port)
        except LinkDownError:
            await self.up()  # the reconnect has registered everything
        except BaseException as failure:
            self._start(port.aclose())
            if isinstance(failure, ReplyError):
                raise command_error(failure) from None
            raise
        receiver.on_connected(None)
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        self._closed = True
        for port in list(self.ports.values()):
            await port.aclose()
        for task in self._tasks:
            task.cancel()
        self.gathering.close()
        self.mail.close()
        self.plain.close()
        self.tape.close()
        if self.link is not None:
            self.link.close("closed")

    def abandon(self) -> None:
        """See `Transport.abandon`: the socket is closed when the link is collected."""

    # --- the link -------------------------------------------------------------------------------------------------

    @property
    def stores(self) -> bool:
        """Whether this process has to do with durable events."""
        return self.mail.has_appended or bool(self.registration.mail)

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
        if self.link is None or self.link.congested:
            raise self.refusal()
        return self.link

    def refusal(self) -> TielineError:
        """Why nothing can be sent now."""
        if self.link is None:
            message = f"Redis at {self._server.address} cannot be reached now; reconnecting"
            return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        return OverloadedError("Redis is too slow for what is sent to it", retry_after=self.settings.retry_after)

    async def _connect(self) -> None:
        settings = self.settings
        made = partial(RedisLink, self._on_push, self._on_lost, settings.offline_buffer, self._gather)
        link, client_id = await self._server.connect(made, self.name, settings.connect_timeout)
        self.settling = link
        try:
            async with asyncio.timeout(settings.connect_timeout):
                await self._settle_in(link, self._client_id)
        except TimeoutError:
            link.abort("it fell silent")
            message = f"Redis at {self._server.address} fell silent after the greeting"
            raise UnavailableError(message, outcome=Outcome.NOT_DELIVERED) from None
        except (LinkDownError, ReplyError) as error:
            link.abort("registering failed")
            raise command_error(error) from None
        except asyncio.CancelledError:
            link.abort("called off")
            raise
        finally:
            self.settling = None
        if link.lost:  # since it answered; nobody would hear of it any more
            raise UnavailableError(f"Redis at {self._server.address}: {link.lost}", outcome=Outcome.NOT_DELIVERED)
        self.link = link
        self._client_id = client_id
        self._up.set()

    async def _settle_in(self, link: RedisLink, previous: ClientId) -> None:
        """Make the new connection do what the previous one did."""
        if previous.number:  # a half-open connection still counts as a receiver
            link.send(pack("CLIENT", "KILL", "ID", previous.number, "ADDR", previous.address))
        for script in scripts.SCRIPTS:
            link.send(pack("SCRIPT", "LOAD", script.source))
        link.learn_to_skip()
        await self._ask_time(link)
        await link.subscribe("SUBSCRIBE", [self._notice])
        await self.registration.everything(link)
        await self._read_patterns(link)

    def _gather(self, link: RedisLink) -> None:
        """Before a flush: what was gathered for the link in use."""
        if link is self.link:
            self.outbox.write(link)
            self.gathering.write(link)

    def _on_lost(self, why: str) -> None:
        link, self.link = self.link, None
        self._up.clear()
        for packed in self.outbox.unsent_answers():
            self.keep(packed)
        if link is None or self._closed:
            return
        self.mail.link_down()
        self.gathering.link_down()
        silent = self._loop_time() - link.heard_at
        since = self.clock.now() - int(silent * 1000)
        for port in list(self.ports.values()):
            port.receiver.on_disconnected(f"Redis at {self._server.address}: {why}")
        self._start(self._reconnect(since, why))

    async def _reconnect(self, since: int, why: str) -> None:
        pause = self.settings.reconnect_min
        while not self._closed:
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter, no secret
            try:
                await self._connect()
                break
            except Exception as error:  # whatever it is, giving up for good would be worse
                log.info("still no connection: %s", error)
                pause = min(pause * 2, self.settings.reconnect_max)
        if self.link is not None:
            kept, self._kept, self._kept_bytes = self._kept, deque(), 0
            for packed in kept:
                self.link.send_quietly(packed, self.keep)
            self.runs.resume()
            self.gathering.resume(self.link)
            if self.registration.mail:
                self._start(self.plain.sweep_after_gap())
            gap = Gap(since, self.clock.now(), why)
            for port in list(self.ports.values()):
                port.receiver.on_connected(gap)

    async def _keep_alive(self) -> None:
        """Ask for the time; a server that falls silent instead of answering is gone."""
        while True:
            await asyncio.sleep(self.settings.ping_interval)
            link = self.link
            if link is None:
                continue
            asking = asyncio.create_task(self._ask_time(link))
            try:
                if await self._heard(link, asking):
                    asking.result()
                else:
                    link.abort(f"no answer within {self.settings.pong_timeout:g} s")
            except (LinkDownError, ReplyError) as error:
                log.info("asking for the time failed: %s", error)
            finally:
                asking.cancel()

    async def _heard(self, link: RedisLink, asking: asyncio.Task[None]) -> bool:
        """Wait for the answer for as long as anything comes: it may be behind much else."""
        while not asking.done():
            heard_at = link.heard_at
            await asyncio.wait([asking], timeout=self.settings.pong_timeout)
            if not asking.done():  # perhaps it was this loop that stood still
                await asyncio.wait([asking], timeout=_LATE_SECONDS)
            if not asking.done() and link.heard_at == heard_at:
                return False
        return True

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
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(reply: Any) -> None:
            """Before a notice that comes right after the reply is looked at, lest it be overwritten."""
            if not isinstance(reply, Exception):
                self.patterns.replace(reply)
                reply = None
            settle(known, reply)

        link.send(pack("ZRANGE", contract.patterns_key(self.prefix), f"({now}", "+inf", "BYSCORE"), told)
        await known

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _on_push(self, push: list[Any]) -> None:
        if push[0] == b"smessage":
            take = self.registration.direct.get(push[1])
            if take is not None:
                for envelope in parse_frame(push[2]):
                    take(envelope)
            else:
                self._on_wake(push[1], push[2])
        elif push[0] == b"pmessage":
            self._on_broadcast(push[1], push[3])
        elif push[0] == b"message" and push[1] == self._notice:
            if not self.agenda.noticed(push[2]):
                self.patterns.add(push[2])
        elif push[0] == b"message" and push[1] == self.plain.channel:
            self.plain.noticed(push[2])
        elif push[0] == b"message":
            self._on_broadcast(push[1], push[2])

    def _on_broadcast(self, channel: bytes, data: bytes) -> None:
        takers = list(self.registration.broadcast.get(channel, ()))
        for envelope in parse_frame(data):
            sender = "" if envelope.scheduled or envelope.replay else envelope.source.rpartition("/")[2]
            for port, interest in takers:
                if port.instance != sender and topics.matches(interest.pattern, envelope.topic):
                    port.receiver.on_event(interest, envelope)

    def _on_wake(self, channel: bytes, group: bytes) -> None:
        woken = group.decode("utf-8", "replace")
        for port, interest in list(self.registration.mail.get(channel, ())):
            if interest.group == woken:
                port.receiver.on_mail(interest.pattern, woken)

    # --- scripts --------------------------------------------------------------------------------------------------

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

        link.send(pack_script(script, names(self.prefix, pattern), len(arguments)) + tail, replied)

    async def answer_of(
        self, link: RedisLink, script: Script, names: Any, pattern: str, arguments: Sequence[bytes]
    ) -> Any:
        """Run a script and return what it returned; raises ReplyError or LinkDownError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        self.run(link, script, names, pattern, arguments, partial(settle, future))
        return await future

    def keep(self, packed: bytes) -> None:
        """Keep an answer until the link is back; beyond the bound it is dropped, and its caller will hear of a loss."""
        if self._kept_bytes + len(packed) <= self.settings.offline_buffer:
            self._kept.append(packed)
            self._kept_bytes += len(packed)
