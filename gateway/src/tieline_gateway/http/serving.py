"""How an operation is served: what came in is read and checked, what is answered is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any, TypeVar, cast

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tieline.errors import CallCancelledError, InvalidArgumentError, InvalidPayloadError, PayloadTooLargeError
from tieline_gateway.access.principal import Principal
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.encoded_slashes import names
from tieline_gateway.http.operation import Answer, Asked, Nothing, Operation
from tieline_gateway.http.problems import HttpError, refusal
from tieline_gateway.http.protocol import ARRIVED

B = TypeVar("B")

JSON = "application/json"
BODY_SECONDS = 10.0
"""How long a client may take to send a body."""


def endpoint(operation: Operation, gateway: Gateway) -> Any:
    """Make the function that Starlette calls."""
    query = _query_reader(operation.query)
    encode = msgspec.json.Encoder(enc_hook=str).encode
    read = operation.read or _body_reader(operation.body)
    handle = _until_gone(operation.handler) if operation.cancels else operation.handler

    async def serve(request: Request) -> Response:
        try:
            raw = await read_body(request, operation.most_bytes) if read else b""
            meter = principal_of(request).meter
            meter.spend(len(raw))
            asked = Asked(
                gateway=gateway,
                principal=principal_of(request),
                path=names(request.path_params),
                query=query(request.query_params),
                body=read(request, raw) if read else Nothing(),
                request=request,
            )
            with meter.call():
                answer = await handle(asked)
        except Exception as error:
            return refusal(error)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        told, headers = answer if isinstance(answer, Answer) else (answer, None)
        return Response(encode(told), operation.status, headers, JSON)

    return _Served(serve)


class _Served:
    """An operation as an application of its own: it tells its errors itself, so nothing need stand around it."""

    def __init__(self, serve: Callable[[Request], Awaitable[Response]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        response = await self._serve(Request(scope, receive, send))
        await response(scope, receive, send)


def _until_gone(handler: Callable[[Asked[Any, Any]], Awaitable[Any]]) -> Callable[[Asked[Any, Any]], Awaitable[Any]]:
    """Cancel a handler whose client leaves; nobody reads the answer then."""

    async def handle(asked: Asked[Any, Any]) -> Any:
        working = asyncio.ensure_future(handler(asked))
        leaving = asyncio.ensure_future(asked.request.receive())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise CallCancelledError("the client left before the answer")
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.gather(working, leaving, return_exceptions=True)

    return handle


def peer_of(scope: Scope) -> str:
    """host:port of who asks, for the log."""
    host, port = scope.get("client") or ("somebody", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def principal_of(request: Request) -> Principal:
    """Who asks; put there by the doorkeeper."""
    return request.scope["state"]["principal"]


async def read_body(request: Request, most_bytes: int, seconds: float = BODY_SECONDS) -> bytes:
    """Read all of a body.

    Raises:
        PayloadTooLargeError: it has more bytes, or says so.
        HttpError: it takes too long (408).

    """
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most_bytes:
        raise _too_large(int(length), most_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with nullcontext() if request.scope["state"].get(ARRIVED) else asyncio.timeout(seconds):
            more = True
            while more:
                part, more = await _part(request)
                size += len(part)
                if size > most_bytes:
                    raise _too_large(size, most_bytes)
                parts.append(part)
    except TimeoutError:
        late = InvalidArgumentError(f"the body did not arrive within {seconds:.0f} s")
        raise HttpError(HTTPStatus.REQUEST_TIMEOUT, late, {"connection": "close"}) from None
    except ClientDisconnect:
        raise InvalidArgumentError("the client left before its body had arrived") from None
    return b"".join(parts)


async def _part(request: Request) -> tuple[bytes, bool]:
    """What came of a body, and whether more comes."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _too_large(size: int, most_bytes: int) -> PayloadTooLargeError:
    details = {"size": size, "limit": most_bytes}
    return PayloadTooLargeError(f"the body has {size} bytes or more, at most {most_bytes} are allowed", details=details)


def media_type(request: Request) -> str:
    """What a body says it is, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_body(kind: str, raw: bytes, decode: Callable[[bytes], B]) -> B:
    """Read a body that is JSON, if that is the media type it has.

    Raises:
        HttpError: it says that it is something else (415).
        InvalidPayloadError: it is no JSON.
        InvalidArgumentError: it is not what is wanted; the message says where.

    """
    if kind != JSON:
        wrong = InvalidArgumentError(f"the body must be {JSON}, not {kind[:80] or 'of no content type'}")
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, wrong)
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayloadError(f"the body is no JSON: {error}") from None


def _body_reader(wanted: type[msgspec.Struct]) -> Callable[[Request, bytes], Any] | None:
    if wanted is Nothing:
        return None
    decode = msgspec.json.Decoder(wanted).decode
    return lambda request, raw: json_body(media_type(request), raw, decode)


def _query_reader(wanted: type[msgspec.Struct]) -> Callable[[QueryParams], Any]:
    """Make the function that reads a query: the last value of each name, or all of them where a list is wanted."""
    fields = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(wanted)).fields
    lists = {field.encode_name for field in fields if isinstance(field.type, msgspec.inspect.ListType)}

    def read(given: QueryParams) -> Any:
        values = {name: given.getlist(name) if name in lists else given[name] for name in given}
        try:
            return msgspec.convert(values, wanted, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidArgumentError(f"query: {error}") from None

    return read
