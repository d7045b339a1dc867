"""The gRPC face: it translates, and nothing more."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tieline._contract import gateway_pb2 as wire
from tieline.errors import InternalError, TielineError, UnauthenticatedError, UnavailableError
from tieline.tracing import TRACEPARENT, TRACESTATE, inherit_trace
from tieline.transports.grpc_frames import CHANNEL_OPTIONS
from tieline_gateway.access.admission import Admission, Credentials, Open, bearer
from tieline_gateway.address import AddressError
from tieline_gateway.gateway import Gateway
from tieline_gateway.links.door import Simple
from tieline_gateway.status import refusal

_log = logging.getLogger("tieline.gateway")
_SERVICE = "tieline.v1.EventGateway"
_HEALTH_PREFIX = "/grpc.health.v1.Health/"
_DETAILS_KEY = "grpc-status-details-bin"
_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.so_reuseport", 0),  # a second gateway on the same port is a mistake, and is told so
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
]

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T", bound=Simple)


class Tls(NamedTuple):
    """PEM bytes: this server's certificate and key, and the authority of client certificates, empty for none."""

    certificate: bytes
    key: bytes
    client_authority: bytes


class GrpcServer:
    """Serves one gateway on one address."""

    def __init__(self, gateway: Gateway, tls: Tls | None, admission: Admission, *, reflect: bool) -> None:
        self._gateway = gateway
        self._tls = tls
        interceptors = [] if isinstance(admission, Open) else [_Doorkeeper(admission)]
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
            raise AddressError(f"cannot listen on {address}: {error}") from error
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
        certificate, key, authority = self._tls
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], root_certificates=authority or None, require_client_auth=bool(authority)
        )
        return self._server.add_secure_port(address, credentials)

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, streams = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Publish": unary(
                    self._publish,
                    request_deserializer=wire.PublishRequest.FromString,
                    response_serializer=wire.PublishResponse.SerializeToString,
                ),
                "PublishAndWait": unary(
                    self._publish_and_wait,
                    request_deserializer=wire.PublishAndWaitRequest.FromString,
                    response_serializer=wire.PublishAndWaitResponse.SerializeToString,
                ),
                "PublishAndGather": unary(
                    self._publish_and_gather,
                    request_deserializer=wire.PublishAndGatherRequest.FromString,
                    response_serializer=wire.PublishAndGatherResponse.SerializeToString,
                ),
                "PublishAndStream": streams(
                    self._publish_and_stream,
                    request_deserializer=wire.PublishAndStreamRequest.FromString,
                    response_serializer=wire.PublishAndStreamResponse.SerializeToString,
                ),
                "Subscribe": streams(self._subscribe, request_deserializer=wire.SubscribeRequest.FromString),
                **self._schedules(),
                "Link": grpc.stream_stream_rpc_method_handler(self._link),
            },
        )

    def _schedules(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        schedules = self._gateway.simple.schedules
        served = (
            ("GetSchedule", schedules.get, wire.GetScheduleRequest),
            ("ListSchedules", schedules.list, wire.ListSchedulesRequest),
            ("CancelSchedule", schedules.cancel, wire.CancelScheduleRequest),
            ("Reschedule", schedules.reschedule, wire.RescheduleRequest),
            ("RetrySchedule", schedules.retry, wire.RetryScheduleRequest),
        )
        return {
            name: grpc.unary_unary_rpc_method_handler(
                partial(_answer, work),
                request_deserializer=request.FromString,
                response_serializer=_serialized,
            )
            for name, work, request in served
        }

    async def _publish(self, request: wire.PublishRequest, context: Context) -> wire.PublishResponse:
        return await _told(context, self._gateway.simple.publish(_traced(request, context)))

    async def _publish_and_wait(
        self, request: wire.PublishAndWaitRequest, context: Context
    ) -> wire.PublishAndWaitResponse:
        call = self._gateway.simple.publish_and_wait(_traced(request, context), context.time_remaining())
        return await _told(context, call)

    async def _publish_and_gather(
        self, request: wire.PublishAndGatherRequest, context: Context
    ) -> wire.PublishAndGatherResponse:
        call = self._gateway.simple.publish_and_gather(_traced(request, context), context.time_remaining())
        return await _told(context, call)

    async def _publish_and_stream(self, request: wire.PublishAndStreamRequest, context: Context) -> None:
        async def run() -> None:
            call = self._gateway.simple.publish_and_stream(_traced(request, context), context.time_remaining())
            async with aclosing(call) as items:
                async for item in items:
                    await _write(context, item)

        await _told(context, run())

    async def _subscribe(self, request: wire.SubscribeRequest, context: Context) -> None:
        feed = self._gateway.new_feed()

        async def run() -> None:
            async with aclosing(feed.messages(request)) as messages:
                async for message in messages:
                    await _write(context, message)
            raise UnavailableError("the gateway is about to stop; subscribe again elsewhere")

        try:
            await _told(context, run())
        finally:
            self._gateway.gone(feed)

    async def _link(self, frames: AsyncIterator[bytes], context: Context) -> None:
        link = self._gateway.new_link()
        try:
            await _told(context, link.serve(aiter(frames), partial(_write, context)))
        finally:
            self._gateway.gone(link)


class _Doorkeeper(grpc.aio.ServerInterceptor):
    """Turns away who may not come in. Health may be asked by anyone."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._turn_away = grpc.stream_stream_rpc_method_handler(_unauthenticated)  # waits for nothing, so fits any

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """See `grpc.aio.ServerInterceptor`."""
        details = handler_call_details
        if not details.method.startswith(_HEALTH_PREFIX):
            try:
                self._admission.admit(_credentials(details))
            except UnauthenticatedError:
                return self._turn_away
        return await continuation(details)


def _try_out(host: str, port: int) -> None:
    """Raise the system's own error if the address cannot be listened on; gRPC would not say which it was."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()


def _credentials(details: grpc.HandlerCallDetails) -> Credentials:
    metadata = details.invocation_metadata or ()
    return Credentials(bearer(next((value for name, value in metadata if name == "authorization"), "")))


async def _unauthenticated(_requests: Any, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a valid token is needed: authorization: Bearer <token>")


async def _answer(work: Callable[[Any], Awaitable[Any]], request: Any, context: Context) -> Any:
    return await _told(context, work(request))


def _serialized(response: Any) -> bytes:
    return response.SerializeToString()


class _GoneError(Exception):
    """The client is gone; there is nobody to tell anything."""


async def _write(context: Context, message: Any) -> None:
    try:
        await context.write(message)
    except Exception as error:  # gRPC has no public type for it
        raise _GoneError from error


def _traced(request: T, context: Context) -> T:
    """The request, of the trace that its gRPC call belongs to, unless its headers name one."""
    metadata = context.invocation_metadata() or ()
    told = {key: value for key, value in metadata if key in (TRACEPARENT, TRACESTATE) and isinstance(value, str)}
    if told:
        inherit_trace(request.headers, told)
    return request


async def _told(context: Context, work: Awaitable[Any]) -> Any:
    """Do the work; if it fails, end the call with the status and details of its error."""
    try:
        return await work
    except _GoneError:
        return None
    except TielineError as error:
        told = error
    except Exception:
        _log.exception("a call failed inside the gateway")
        told = InternalError("the gateway failed; its log says why")
    code, message, details = refusal(told)
    return await context.abort(grpc.StatusCode[code], message, ((_DETAILS_KEY, details),))
