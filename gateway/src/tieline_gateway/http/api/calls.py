"""`/v1/calls`: call, and wait for the reply, for those of all, or for a stream of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from tieline import codec
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline.envelope import error_from_wire, new_id
from tieline.errors import InvalidArgumentError, Outcome
from tieline.outgoing import check_key
from tieline.topics import check_topic
from tieline.tracing import TRACEPARENT, TRACESTATE, inherit_trace
from tieline_gateway.access import rights
from tieline_gateway.http.documents import ErrorDocument, Payload, error_document, no_data, payload
from tieline_gateway.http.event_stream import event_stream, frame
from tieline_gateway.http.idempotency_key import idempotency_key
from tieline_gateway.http.operation import Answer, Asked, Nothing, Operation

CORRELATION_ID = "tieline-correlation-id"
"""Header of an answer: names the chain of the call, for `/v1/explain`."""

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536
_VISIBLE = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"
Ttl = Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_CALL_TTL_MAX_MS)]
Request = wire.PublishAndWaitRequest | wire.PublishAndGatherRequest | wire.PublishAndStreamRequest


class Question(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is asked."""

    topic: str
    data: msgspec.Raw = msgspec.field(default_factory=no_data)
    """The payload, a JSON value."""
    headers: dict[str, str] = {}
    schema_version: str = ""
    correlation_id: str = ""


class NewCall(Question, kw_only=True):
    """A call of one responder."""

    ttl_ms: Ttl = contract.DEFAULT_CALL_TTL_MS
    """The call ends by then, with a reply or an error."""
    idempotent: bool = False
    """Running twice does no harm, so another responder may take over."""
    idempotency_key: str = ""
    """Calls with the same key and payload share one run, and its reply is kept for 24 hours."""


class NewGather(Question, kw_only=True):
    """A question to one member of each group or service, or to `every_instance`."""

    ttl_ms: Ttl = contract.DEFAULT_CALL_TTL_MS
    max_replies: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    """So many are enough; 0 for all."""
    every_instance: bool = False


class NewStream(Question, kw_only=True):
    """A call whose reply is a stream."""

    ttl_ms: Ttl | None = None
    """All of it ends by then; any length unless given."""


class Reply(msgspec.Struct):
    """What the responder replied: in `data` if JSON can say it, else in `data_base64`."""

    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType = msgspec.UNSET
    """Of what is in `data_base64`."""


class Answered(msgspec.Struct):
    """What became of the question at one responder: a reply, or an error."""

    service: str
    instance: str
    group: str
    missing: bool
    """It gave no answer: it died, or was too slow."""
    error: ErrorDocument | None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType = msgspec.UNSET


class Gathered(msgspec.Struct):
    """All answers."""

    answers: list[Answered]


class Item(Payload, kw_only=True):
    """The event `item`: one of the stream."""


class End(msgspec.Struct):
    """The event `end`: there are no more."""

    items: int


async def call(asked: Asked[Nothing, NewCall]) -> Answer:
    """Call one responder, and wait for its reply; a client that leaves cancels the call."""
    body = asked.body
    request = wire.PublishAndWaitRequest(idempotent=body.idempotent, idempotency_key=_key(asked))
    correlation_id = _fill(request, asked)
    reply = await asked.gateway.simple.publish_and_wait(request, body.ttl_ms / 1000, asked.principal.signature)
    return Answer(Reply(**_reply(reply.data, reply.content_type)), _named(correlation_id))


async def gather(asked: Asked[Nothing, NewGather]) -> Answer:
    """Ask everybody who answers on a topic."""
    body = asked.body
    request = wire.PublishAndGatherRequest(every_instance=body.every_instance, max_replies=body.max_replies)
    correlation_id = _fill(request, asked)
    told = await asked.gateway.simple.publish_and_gather(request, body.ttl_ms / 1000, asked.principal.signature)
    return Answer(Gathered([_answered(each) for each in told.answers]), _named(correlation_id))


async def stream(asked: Asked[Nothing, NewStream]) -> Response:
    """Call one responder that replies with a stream; closing it cancels the call."""
    request = wire.PublishAndStreamRequest()
    correlation_id = _fill(request, asked)
    seconds = None if asked.body.ttl_ms is None else asked.body.ttl_ms / 1000
    items = asked.gateway.simple.publish_and_stream(request, seconds, asked.principal.signature)
    headers = _named(correlation_id)
    return await event_stream(_items(items), asked.gateway.over, headers, Outcome.MAY_HAVE_RUN)


async def _items(items: AsyncGenerator[wire.PublishAndStreamResponse, None]) -> AsyncGenerator[bytes, None]:
    count = 0
    async with aclosing(items):
        async for item in items:
            count += 1
            yield frame("item", Item(**payload(item.data, item.content_type)))
    yield frame("end", End(count))


def _fill(
    request: Request, asked: Asked[Nothing, NewCall] | Asked[Nothing, NewGather] | Asked[Nothing, NewStream]
) -> str:
    """Say what all calls have in common; returns the name of the chain."""
    body, headers = asked.body, asked.request.headers
    rights.check_request(asked.principal, check_topic(body.topic), bytes(body.data), codec.JSON)
    request.topic, request.data, request.content_type = body.topic, bytes(body.data), codec.JSON
    correlation_id = check_key(body.correlation_id, "correlation_id") if body.correlation_id else new_id()
    request.schema_version, request.correlation_id = body.schema_version, correlation_id
    if body.headers:
        request.headers.update(body.headers)
    if TRACEPARENT in headers:
        inherit_trace(request.headers, {name: headers[name] for name in (TRACEPARENT, TRACESTATE) if name in headers})
    return correlation_id


def _named(correlation_id: str) -> dict[str, str]:
    """The header that names the chain; percent-encoded where a header cannot say it."""
    return {CORRELATION_ID: quote(correlation_id, safe=_VISIBLE)}


def _key(asked: Asked[Nothing, NewCall]) -> str:
    told, key = asked.body.idempotency_key, idempotency_key(asked.request)
    if told and key and told != key:
        raise InvalidArgumentError("idempotency_key and the header Idempotency-Key say the same: give one of them")
    return told or key


def _reply(data: bytes, content_type: str) -> dict[str, Any]:
    told = payload(data, content_type)
    return {"data": told["data"]} if "data" in told else told


def _answered(one: wire.Gathered) -> Answered:
    who = one.responder
    group = who.groups[0] if who.groups else ""
    if one.HasField("error"):
        return Answered(who.service, who.instance, group, one.missing, error_document(error_from_wire(one.error)))
    return Answered(who.service, who.instance, group, False, None, **_reply(one.data, one.content_type))


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/calls",
        summary="Call a responder and wait for its reply",
        handler=call,
        body=NewCall,
        example={"topic": "calculate.sum", "data": [1, 2, 3], "ttl_ms": 5_000},
        answer=Reply,
        most_bytes=_MOST_BYTES,
        keyed=True,
        cancels=True,
    ),
    Operation(
        method="POST",
        path="/v1/calls/gather",
        summary="Ask everybody who answers on a topic",
        handler=gather,
        body=NewGather,
        example={"topic": "health.check", "ttl_ms": 2_000, "every_instance": True},
        answer=Gathered,
        most_bytes=_MOST_BYTES,
        cancels=True,
    ),
    Operation(
        method="POST",
        path="/v1/calls/stream",
        summary="Call a responder that replies with a stream",
        handler=stream,
        body=NewStream,
        example={"topic": "count.down", "data": 3},
        streams={"item": Item, "end": End},
        most_bytes=_MOST_BYTES,
    ),
)
