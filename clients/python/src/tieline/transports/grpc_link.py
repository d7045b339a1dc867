"""One Link stream to a gateway, from hello to its end (SPEC.md, section 8)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import grpc.aio

from tieline._contract import gateway_pb2 as wire
from tieline._contract.agenda_pb2 import AgendaResponse
from tieline._contract.durable_pb2 import MailResponse
from tieline.clock import Clock
from tieline.errors import TielineError
from tieline.settings import Settings
from tieline.transports.grpc_frames import CHANNEL_OPTIONS, Outbox
from tieline.transports.grpc_target import Target, refusal, unreachable

_log = logging.getLogger("tieline.grpc")
_METHOD = "/tieline.v1.EventGateway/Link"
_ANSWERS = ("done", "probed", "pong", "responders", "trail_found")
_IN_PARTS = ("mail", "agenda")
_LATE_SECONDS = 0.1
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # back-off is ours: a new channel knows nothing of earlier failures
    ("grpc.enable_http_proxy", 0),
]


class LinkBrokenError(Exception):
    """The Link ended before an answer came."""


class ClientLink:
    """One Link stream, from `Welcome` to its end."""

    def __init__(self, target: Target, clock: Clock, settings: Settings) -> None:
        self.outbox = Outbox(settings.offline_buffer)
        self.instance = ""
        self.address = target.address
        self.broker = True
        self.observing = False
        self.drained = asyncio.Event()
        self.seen = 0.0
        self._target = target
        self._clock = clock
        self._settings = settings
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._refs = itertools.count(1)
        self._parts: dict[int, Any] = {}
        self._early: list[wire.GatewayItem] = []
        self.broken = False
        self._serving: asyncio.Task[str] | None = None
        if target.credentials is None:
            self._channel = grpc.aio.insecure_channel(target.address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target.address, target.credentials, options=_OPTIONS)
        self._call: Any = self._channel.stream_stream(_METHOD)(metadata=target.metadata)

    async def open(self, hello: wire.Hello) -> None:
        """Say hello and become an instance.

        Raises:
            UnavailableError: nobody there within the connect timeout.
            UnauthenticatedError: the gateway wants other credentials.
            UnsupportedError: what is there is no Tieline gateway.

        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._greet(hello)
        except BaseException as error:
            told = await self._told(error)
            await self.aclose()
            raise told from None

    async def _greet(self, hello: wire.Hello) -> None:
        frame = wire.LinkRequest(items=[wire.ClientItem(hello=hello)])
        await self._call.write(frame.SerializeToString())
        asked = time.monotonic()
        answer = await self._call.read()
        answered = time.monotonic()
        items = wire.LinkResponse.FromString(answer).items if answer is not grpc.aio.EOF else []
        if not items or items[0].WhichOneof("item") != "welcome":
            raise unreachable(self._target, "it ended the link without a welcome")
        self.instance = items[0].welcome.instance
        self._clock.learn(items[0].welcome.time / 1000, asked, answered)
        self._early = list(items[1:])
        self.seen = answered

    async def _told(self, error: BaseException) -> BaseException:
        """The error of `open` for what went wrong."""
        match error:
            case TimeoutError():
                return unreachable(self._target, "no answer in time")
            case grpc.aio.AioRpcError() if error.code() is not grpc.StatusCode.INTERNAL:
                return refusal(self._target, error)
            case grpc.aio.AioRpcError() | asyncio.InvalidStateError():
                return await self._refused_unheard()
            case TielineError():
                return error
            case Exception():
                return unreachable(self._target, f"{type(error).__name__}: {error}")
            case _:
                return error

    async def _refused_unheard(self) -> TielineError:
        """Ask again without a word: where a call ends before it is written to, gRPC hides the status behind its own."""
        call: Any = self._channel.stream_stream(_METHOD)(metadata=self._target.metadata, timeout=1.0)
        try:
            await call.read()
        except grpc.aio.AioRpcError as error:
            return refusal(self._target, error)
        return unreachable(self._target, "it ended the link at once")

    def start(self, handlers: Mapping[str, Callable[[Any], None]], broke: Callable[[str], None]) -> None:
        """Begin to write what is in the outbox, and to hand every item that arrives to the handler of its name.

        `broke` is told why the link ended, before those who wait for an answer learn that there is none.
        """
        answers = dict.fromkeys(_ANSWERS, self._answered)
        in_parts = dict.fromkeys(_IN_PARTS, self._answered_in_parts)
        own = {"observing": self._on_observing, "drain": self._on_drain, **answers, **in_parts}
        self._serving = asyncio.create_task(self._serve({**handlers, **own}, broke))

    async def ended(self) -> str:
        """Return why the link ended, when it has."""
        if self._serving is None:
            return "it never started"
        await asyncio.wait([self._serving])
        return "it was closed" if self._serving.cancelled() else self._serving.result()

    async def ask(self, item: wire.ClientItem) -> Any:
        """Send an item that carries a `ref`, and return what answers it.

        Raises:
            LinkBrokenError: the link ended first.

        """
        return await self.begin(item)

    def begin(self, item: wire.ClientItem) -> asyncio.Future[Any]:
        """Send an item that carries a `ref`; returns what will hold its answer, or a LinkBrokenError."""
        future = self.expect(item)
        if self.broken:
            self._forget_asked()
        else:
            self.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())
        return future

    def expect(self, item: wire.ClientItem) -> asyncio.Future[Any]:
        """Number an item; returns what will hold the answer to that number."""
        ref = next(self._refs)
        getattr(item, item.WhichOneof("item") or "").ref = ref
        future = self._asked[ref] = asyncio.get_running_loop().create_future()
        return future

    def _on_observing(self, observing: wire.Observing) -> None:
        self.observing = observing.any

    def _on_drain(self, _drain: wire.Drain) -> None:
        _log.info("the gateway at %s is about to stop", self.address)
        self.drained.set()

    def _answered(self, answer: Any) -> None:
        future = self._asked.pop(answer.ref, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def _answered_in_parts(self, part: MailResponse | AgendaResponse) -> None:
        more, answer = part.more, self._parts.pop(part.ref, None)
        if answer is None:
            answer = part
        else:
            answer.MergeFrom(part)
        if more:
            self._parts[part.ref] = answer
        else:
            self._answered(answer)

    async def aclose(self) -> None:
        """Write what is left, end the stream, and let it go. Idempotent."""
        self.outbox.close()
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=1.0)
            self._serving.cancel()
            await asyncio.wait([self._serving])
        self._call.cancel()
        await self._channel.close()

    async def _serve(self, handlers: dict[str, Callable[[Any], None]], broke: Callable[[str], None]) -> str:
        reason = "it was closed"
        tasks = [asyncio.create_task(step) for step in (self._read(handlers), self._write(), self._ping())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            reason = next(_reason(task) for task in tasks if task in done)
            return reason
        finally:
            self.broken = True
            broke(reason)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._forget_asked()

    async def _read(self, handlers: dict[str, Callable[[Any], None]]) -> str:
        items: Iterable[wire.GatewayItem] = self._early
        while True:
            for item in items:
                name = item.WhichOneof("item") or ""
                handler = handlers.get(name)
                if handler is not None:  # a newer gateway may say things we do not know
                    handler(getattr(item, name))
            frame = await self._call.read()
            if frame is grpc.aio.EOF:
                return "the gateway ended the link"
            self.seen = time.monotonic()
            items = wire.LinkResponse.FromString(frame).items

    async def _write(self) -> str:
        while frame := await self.outbox.take():
            await self._call.write(frame)
        await self._call.done_writing()
        return await asyncio.get_running_loop().create_future()

    async def _ping(self) -> str:
        """Ask for the time again and again, until nothing comes, not even what goes before the answer."""
        patience = self._settings.pong_timeout
        while True:
            await asyncio.sleep(self._settings.ping_interval)
            item = wire.ClientItem(ping=wire.Ping())
            future = self.expect(item)
            asked = time.monotonic()
            self.outbox.put(wire.LinkRequest(items=[item]).SerializeToString())
            await asyncio.wait([future], timeout=patience)
            while not future.done():  # perhaps it was this loop that stood still, or the answer waits behind others
                await asyncio.wait([future], timeout=_LATE_SECONDS)
                silence = time.monotonic() - self.seen
                if silence > patience and not future.done():
                    return f"no sign of life for {silence:.1f} s"
            self._clock.learn(future.result().time / 1000, asked, time.monotonic())

    def _forget_asked(self) -> None:
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(LinkBrokenError())
                future.exception()  # nobody may be waiting any more


def _reason(task: asyncio.Task[str]) -> str:
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"
