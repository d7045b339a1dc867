"""The gRPC face: it translates, and nothing more."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tieline._contract import gateway_pb2 as wire
from tieline.errors import UnavailableError
from tieline.tracing import TRACEPARENT, TRACESTATE, inherit_trace
from tieline.transports.grpc_frames import CHANNEL_OPTIONS
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action, Principal
from tieline_gateway.access.schedules import Schedules
from tieline_gateway.access.watch import Watch
from tieline_gateway.address import AddressError
from tieline_gateway.gateway import Gateway
from tieline_gateway.grpc_entry import Context, Doorkeeper, Entry, write
from tieline_gateway.links.door import Simple
from tieline_gateway.tls import Tls

_SERVICE = "tieline.v1.EventGateway"
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.so_reuseport", 0),  # a second gateway on the same port is a mistake, and is told so
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),  # who connects and says nothing, or no HTTP/2
]

T = TypeVar("T", bound=Simple)


class GrpcServer:
    """Serves one gateway on one address."""

    def __init__(self, gateway: Gateway, tls: Tls | None, watch: Watch, *, reflect: bool) -> None:
        self._gateway = gateway
        self._tls = tls
        self._entry = Entry(watch)
        interceptors = [] if watch.open else [Doorkeeper(watch, f"/{_SERVICE}/")]
        self._server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is chosen if 0 was given.

        Raises:
            AddressError: the address is in use, or is none of this machine's.

        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            _try_out(host, port)
            bound = self._bind(address)
        except (OSError, RuntimeError) as error:
            raise AddressError(f"cannot listen on {address}: {error}; --listen says where else") from error
        await self.say_health(serving=True)
        await self._server.start()
        return bound

    async def say_health(self, *, serving: bool) -> None:
        """Tell the health service's clients."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", _SERVICE):
            await self._health.set(name, status)

    async def stop(self, seconds: float) -> None:
        """Take no new calls, and return when the last one has ended; after so many seconds all are cut off."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)

    def _bind(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        wanted = bool(self._tls.pem.client_authority)
        credentials = grpc.dynamic_ssl_server_credentials(
            _shown(self._tls), lambda tls=self._tls: _shown(tls), require_client_authentication=wanted
        )
        return self._server.add_secure_port(address, credentials)

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, streams = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Publish": unary(
                    self._entry.unary(self._publish),
                    request_deserializer=wire.PublishRequest.FromString,
                    response_serializer=wire.PublishResponse.SerializeToString,
                ),
                "PublishAndWait": unary(
                    self._entry.unary(self._publish_and_wait),
                    request_deserializer=wire.PublishAndWaitRequest.FromString,
                    response_serializer=wire.PublishAndWaitResponse.SerializeToString,
                ),
                "PublishAndGather": unary(
                    self._entry.unary(self._publish_and_gather),
                    request_deserializer=wire.PublishAndGatherRequest.FromString,
                    response_serializer=wire.PublishAndGatherResponse.SerializeToString,
                ),
                "PublishAndStream": streams(
                    self._entry.stream(self._publish_and_stream),
                    request_deserializer=wire.PublishAndStreamRequest.FromString,
                    response_serializer=wire.PublishAndStreamResponse.SerializeToString,
                ),
                "Subscribe": streams(
                    self._entry.stream(self._subscribe), request_deserializer=wire.SubscribeRequest.FromString
                ),
                **self._schedules(),
                "Link": grpc.stream_stream_rpc_method_handler(self._entry.stream(self._link)),
            },
        )

    def _schedules(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        desk = Schedules(self._gateway.simple.schedules)
        served = (
            ("GetSchedule", desk.get, wire.GetScheduleRequest),
            ("ListSchedules", desk.list, wire.ListSchedulesRequest),
            ("CancelSchedule", desk.cancel, wire.CancelScheduleRequest),
            ("Reschedule", desk.reschedule, wire.RescheduleRequest),
            ("RetrySchedule", desk.retry, wire.RetryScheduleRequest),
        )
        return {
            name: grpc.unary_unary_rpc_method_handler(
                self._entry.unary(partial(_answer, work)),
                request_deserializer=request.FromString,
                response_serializer=_serialized,
            )
            for name, work, request in served
        }

    async def _publish(
        self, request: wire.PublishRequest, context: Context, principal: Principal
    ) -> wire.PublishResponse:
        rights.check_event(principal, request.topic)
        principal.meter.spend(len(request.data))
        return await self._gateway.simple.publish(_traced(request, context), principal.signature)

    async def _publish_and_wait(
        self, request: wire.PublishAndWaitRequest, context: Context, principal: Principal
    ) -> wire.PublishAndWaitResponse:
        with _calling(request, principal):
            asked, left = _traced(request, context), context.time_remaining()
            return await self._gateway.simple.publish_and_wait(asked, left, principal.signature)

    async def _publish_and_gather(
        self, request: wire.PublishAndGatherRequest, context: Context, principal: Principal
    ) -> wire.PublishAndGatherResponse:
        with _calling(request, principal):
            asked, left = _traced(request, context), context.time_remaining()
            return await self._gateway.simple.publish_and_gather(asked, left, principal.signature)

    async def _publish_and_stream(
        self, request: wire.PublishAndStreamRequest, context: Context, principal: Principal
    ) -> None:
        with _calling(request, principal):
            asked, left = _traced(request, context), context.time_remaining()
            call = self._gateway.simple.publish_and_stream(asked, left, principal.signature)
            async with aclosing(call) as items:
                async for item in items:
                    await write(context, item)

    async def _subscribe(self, request: wire.SubscribeRequest, context: Context, principal: Principal) -> None:
        principal.check(Action.SUBSCRIBE, request.topic)
        feed = self._gateway.new_feed()
        try:
            async with aclosing(feed.messages(request)) as messages:
                async for message in messages:
                    await write(context, message)
            raise UnavailableError("the gateway is about to stop; subscribe again elsewhere")
        finally:
            self._gateway.gone(feed)

    async def _link(self, frames: AsyncIterator[bytes], context: Context, principal: Principal) -> None:
        link = self._gateway.new_link(principal)
        try:
            await link.serve(aiter(frames), partial(write, context))
        finally:
            self._gateway.gone(link)


@contextmanager
def _calling(request: Simple, principal: Principal) -> Generator[None]:
    """Send a request for a principal, if it may, and has not too much under way."""
    rights.check_request(principal, request.topic, request.data, request.content_type)
    principal.meter.spend(len(request.data))
    with principal.meter.call():
        yield


async def _answer(
    work: Callable[[Any, Principal], Awaitable[Any]], request: Any, _context: Context, principal: Principal
) -> Any:
    principal.meter.spend(0)
    return await work(request, principal)


def _shown(tls: Tls) -> grpc.ServerCertificateConfiguration:
    """What a client is shown that connects now."""
    certificate, key, authority = tls.pem
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authority or None)


def _try_out(host: str, port: int) -> None:
    """Raise the system's own error if the address cannot be listened on; gRPC would not say which it was."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()


def _serialized(response: Any) -> bytes:
    return response.SerializeToString()


def _traced(request: T, context: Context) -> T:
    """The request, of the trace that its gRPC call belongs to, unless its headers name one."""
    metadata = context.invocation_metadata() or ()
    told = {key: value for key, value in metadata if key in (TRACEPARENT, TRACESTATE) and isinstance(value, str)}
    if told:
        inherit_trace(request.headers, told)
    return request
