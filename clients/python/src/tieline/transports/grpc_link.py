"""One Link stream to a gateway, from hello to its end (SPEC.md, section 8)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
import grpc.aio

from tieline._contract import gateway_pb2 as wire
from tieline._contract.agenda_pb2 import AgendaResponse
from tieline._contract.durable_pb2 import MailResponse
from tieline.clock import Clock
from tieline.errors import (
    InvalidArgumentError,
    Outcome,
    PermissionDeniedError,
    TielineError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from tieline.settings import Settings
from tieline.transports.grpc_frames import CHANNEL_OPTIONS, Outbox

_log = logging.getLogger("tieline.grpc")
_METHOD = "/tieline.v1.EventGateway/Link"
_DETAILS_KEY = "grpc-status-details-bin"
_DEFAULT_PORT = 50051
_PEM = frozenset({"ca", "cert", "key"})
_is_host = re.compile(r"[\w.\-]+|\[[0-9a-f:.%]+\]", re.IGNORECASE).fullmatch
_ANSWERS = ("done", "probed", "pong", "responders", "trail_found")
_IN_PARTS = ("mail", "agenda")
_LATE_SECONDS = 0.1
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),  # back-off is ours: a new channel knows nothing of earlier failures
    ("grpc.enable_http_proxy", 0),
]


class Target(NamedTuple):
    """Where a gateway is, and how to be let in: a token, or a file with one, which is read for each Link anew."""

    address: str
    credentials: grpc.ChannelCredentials | None
    token: str
    token_file: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a Link is opened with; nothing where the file cannot be read now, and then the gateway refuses it."""
        token = self.token
        if self.token_file:
            try:
                token = _read_token(self.token_file)
            except InvalidArgumentError as error:
                _log.warning("%s", error.message)
        return (("authorization", f"Bearer {token}"),) if token else ()


def parse_targets(url: str, token: str = "") -> list[Target]:
    """Read the address of a gateway, or the addresses of several that stand in front of one Redis.

    Raises:
        InvalidArgumentError: it is none, or a PEM file it names cannot be read.

    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = options.keys() - {*_PEM, "token_file"}
    user, _, hosts = parts.netloc.rpartition("@")
    addresses = [_address(host) for host in hosts.split(",")]
    valid = all(addresses) and parts.scheme in ("grpc", "grpcs")
    if not valid or (options.keys() & _PEM and parts.scheme == "grpc"):
        raise InvalidArgumentError(
            f"{parts.scheme}://{hosts} is no gateway's address: grpc://host:port, grpc://host:port,host:port, or "
            "grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE, with token_file=FILE instead of a token"
        )
    if unknown:
        raise InvalidArgumentError(
            f"{min(unknown)!r} is no option of a gateway's address; ca, cert, key and token_file are, each with a file"
        )
    token = token or unquote(user.partition(":")[2])
    token_file = options.pop("token_file", "")
    if token and token_file:
        raise InvalidArgumentError("there is a token in the gateway's address, and a token_file: give one of them")
    credentials = _credentials(options) if parts.scheme == "grpcs" else None
    targets = [Target(address, credentials, token, token_file) for address in addresses]
    if token_file:
        _read_token(token_file)
    return targets


def _read_token(file: str) -> str:
    """The first line of a file."""
    try:
        return Path(file).read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"cannot read the token in {file}: {error}") from None


def _address(host: str) -> str:
    """host:port; empty if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        return ""
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{name}:{port}" if name and _is_host(name) and parts.username is None else ""


def _credentials(files: dict[str, str]) -> grpc.ChannelCredentials:
    try:
        contents = {name: Path(file).read_bytes() for name, file in files.items()}
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {error.filename}: {error.strerror}") from None
    return grpc.ssl_channel_credentials(contents.get("ca"), contents.get("key"), contents.get("cert"))


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
            raise _unreachable(self._target, "it ended the link without a welcome")
        self.instance = items[0].welcome.instance
        self._clock.learn(items[0].welcome.time / 1000, asked, answered)
        self._early = list(items[1:])
        self.seen = answered

    async def _told(self, error: BaseException) -> BaseException:
        """The error of `open` for what went wrong."""
        match error:
            case TimeoutError():
                return _unreachable(self._target, "no answer in time")
            case grpc.aio.AioRpcError() if error.code() is not grpc.StatusCode.INTERNAL:
                return _refusal(self._target, error)
            case grpc.aio.AioRpcError() | asyncio.InvalidStateError():
                return await self._refused_unheard()
            case TielineError():
                return error
            case Exception():
                return _unreachable(self._target, f"{type(error).__name__}: {error}")
            case _:
                return error

    async def _refused_unheard(self) -> TielineError:
        """Ask again without a word: where a call ends before it is written to, gRPC hides the status behind its own."""
        call: Any = self._channel.stream_stream(_METHOD)(metadata=self._target.metadata, timeout=1.0)
        try:
            await call.read()
        except grpc.aio.AioRpcError as error:
            return _refusal(self._target, error)
        return _unreachable(self._target, "it ended the link at once")

    def start(self, handlers: Mapping[str, Callable[[Any], None]], broke: Callable[[str], None]) -> None:
        """Begin to write what is in the outbox, and to hand every item that arrives to the handler of its name.

        `broke` is told why the link ended, before those who wait for an answer learn that there is none.
        """
        answers = dict.fromkeys(_ANSWERS, self._answered)
        in_parts = dict.fromkeys(_IN_PARTS, self._answered_in_parts)
        self._serving = asyncio.create_task(self._serve({**handlers, **answers, **in_parts}, broke))

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


def _unreachable(target: Target, why: str) -> UnavailableError:
    return UnavailableError(
        f"no gateway can be reached at {target.address} ({why}); {_advice(target, why)}",
        outcome=Outcome.NOT_DELIVERED,
    )


def _advice(target: Target, why: str) -> str:
    """What to do; gRPC tells apart only in words what somebody else at the port may be."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "its certificate is not trusted here: give its authority as ?ca=FILE"
    if "Hostname Verification" in why or "Hostname mismatch" in why:
        return "its certificate is for other names: put one of them into the URL"
    if "CERTIFICATE_REQUIRED" in why:
        return "it wants a certificate of yours: give ?cert=FILE&key=FILE"
    if "WRONG_VERSION_NUMBER" in why:
        return "it serves without TLS: use grpc://"
    if "http1" in why:
        return "that is a port for HTTP: `tieline up` says on which one it serves gRPC"
    if "Socket closed" in why and target.credentials is None:
        return "if it serves with TLS, use grpcs://"
    return "start one with `tieline up`, or check TIELINE_URL"


def _refusal(target: Target, error: grpc.aio.AioRpcError) -> TielineError:
    text = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            message = f"the gateway at {target.address} refused the credentials; put the token into the URL's password"
            return UnauthenticatedError(f"{message} ({text})")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDeniedError(f"the gateway at {target.address} does not permit the link: {text}")
        case grpc.StatusCode.UNIMPLEMENTED:
            return UnsupportedError(f"{target.address} speaks gRPC but is no Tieline gateway ({text})")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidArgumentError(f"the gateway at {target.address} refused the link: {text}")
        case grpc.StatusCode.UNAVAILABLE if _is_told_by_gateway(error):
            message = f"the gateway at {target.address} takes no links now: {text}"
            return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        case _:
            return _unreachable(target, text)


def _is_told_by_gateway(error: grpc.aio.AioRpcError) -> bool:
    """Whether the status is a gateway's own, and not what gRPC makes of a connection."""
    return any(name == _DETAILS_KEY for name, _ in error.trailing_metadata() or ())
