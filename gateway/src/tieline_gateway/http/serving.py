"""How an operation is served: what came in is read and checked, what is answered is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tieline.errors import InvalidArgumentError, InvalidPayloadError, PayloadTooLargeError
from tieline_gateway.access.principal import Principal
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.operation import Asked, Nothing, Operation
from tieline_gateway.http.problems import HttpError, refusal

JSON = "application/json"
BODY_SECONDS = 10.0
"""How long a client may take to send a body."""


def endpoint(operation: Operation, gateway: Gateway) -> Any:
    """Make the function that Starlette calls."""
    query = _query_reader(operation.query)
    encode = msgspec.json.Encoder(enc_hook=str).encode
    decode = None if operation.body is Nothing else msgspec.json.Decoder(operation.body).decode

    async def serve(request: Request) -> Response:
        try:
            raw = await read_body(request, operation.most_bytes) if decode else b""
            asked = Asked(
                gateway=gateway,
                principal=principal_of(request),
                path=request.path_params,
                query=query(request.query_params),
                body=_body(request, raw, decode) if decode else Nothing(),
                request=request,
            )
            answer = await operation.handler(asked)
        except Exception as error:
            return refusal(error)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return Response(encode(answer), operation.status, media_type=JSON)

    return serve


def principal_of(request: Request) -> Principal:
    """Who asks; put there by the doorkeeper."""
    return request.state.principal


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
        async with asyncio.timeout(seconds):
            async for part in request.stream():
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


def _too_large(size: int, most_bytes: int) -> PayloadTooLargeError:
    details = {"size": size, "limit": most_bytes}
    return PayloadTooLargeError(f"the body has {size} bytes or more, at most {most_bytes} are allowed", details=details)


def _body(request: Request, raw: bytes, decode: Any) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        wrong = InvalidArgumentError(f"the body must be {JSON}, not {kind or 'of no content type'}")
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, wrong)
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayloadError(f"the body is no JSON: {error}") from None


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
