"""How a gRPC call comes in and ends: who calls, what is written, and what it ends with."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast
from urllib.parse import unquote

import grpc
import grpc.aio

from tieline.errors import InternalError, TielineError
from tieline_gateway.access.admission import Credentials, bearer
from tieline_gateway.access.certificates import read_certificate
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.watch import Watch
from tieline_gateway.status import refusal

_log = logging.getLogger("tieline.gateway")
_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_HEALTH_PREFIX = "/grpc.health.v1.Health/"
_CERTIFICATE = "x509_pem_cert"

Context = grpc.aio.ServicerContext[Any, Any]
Work = Callable[[Any, Context, Principal], Awaitable[Any]]


class Entry:
    """Lets calls in, for as long as who calls would be let in.

    Args:
        watch: knows who may.

    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def unary(self, work: Work) -> Callable[[Any, Context], Awaitable[Any]]:
        """A handler that does the work, which is told who calls; what goes wrong ends the call with its status."""

        async def serve(request: Any, context: Context) -> Any:
            return await told(context, self._admitted(work, request, context))

        return serve

    def stream(self, work: Work) -> Callable[[Any, Context], Awaitable[Any]]:
        """As `unary`, of what stays open: a principal may have so many."""

        async def counted(request: Any, context: Context, principal: Principal) -> Any:
            with principal.meter.stream():
                return await work(request, context, principal)

        return self.unary(counted)

    async def _admitted(self, work: Work, request: Any, context: Context) -> Any:
        async with self._watch.visit(_credentials(context), _peer(context)) as visit:
            return await work(request, context, visit.principal)


class Doorkeeper(grpc.aio.ServerInterceptor):
    """Guards what is served beside our own service, which guards itself. Health may be asked by anyone."""

    def __init__(self, watch: Watch, *ours: str) -> None:
        self._watch = watch
        self._open = (_HEALTH_PREFIX, *ours)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(self._open):
            return handler
        serve: Any = handler.stream_stream

        async def guarded(requests: Any, context: Context) -> AsyncGenerator[Any, None]:
            try:
                self._watch.admit(_credentials(context), _peer(context))
            except TielineError as error:
                await abort(context, error)
            async for answer in serve(requests, context):
                yield answer

        return cast("Any", handler)._replace(stream_stream=guarded)


class GoneError(Exception):
    """The client is gone; there is nobody to tell anything."""


async def write(context: Context, message: Any) -> None:
    """Write one message of a stream.

    Raises:
        GoneError: there is nobody to read it.

    """
    try:
        await context.write(message)
    except Exception as error:  # gRPC has no public type for it
        raise GoneError from error


async def told(context: Context, work: Awaitable[Any]) -> Any:
    """Do the work; if it fails, end the call with the status and details of its error."""
    try:
        return await work
    except GoneError:
        return None
    except TielineError as error:
        failed = error
    except Exception:
        _log.exception("a call failed inside the gateway")
        failed = InternalError("the gateway failed; its log says why")
    return await abort(context, failed)


async def abort(context: Context, error: TielineError) -> Any:
    """End a call with an error."""
    code, message, details, pushback = refusal(error)
    told = ((_DETAILS_KEY, details), *(((_PUSHBACK_KEY, pushback),) if pushback else ()))
    return await context.abort(grpc.StatusCode[code], message, told)


def _peer(context: Context) -> str:
    """host:port of who calls; gRPC says it as `ipv4:host:port`, or with escapes."""
    return unquote(context.peer().partition(":")[2])


def _credentials(context: Context) -> Credentials:
    metadata = context.invocation_metadata() or ()
    token = bearer(next((value for name, value in metadata if name == "authorization"), ""))
    shown = (context.auth_context() or {}).get(_CERTIFICATE)
    if not shown:
        return Credentials(token)
    return Credentials(token, *read_certificate(bytes(next(iter(shown)))))
