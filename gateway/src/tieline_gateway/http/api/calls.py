"""`/v1/calls`: call, and wait for the reply."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tieline import codec
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline_gateway.access.principal import Action
from tieline_gateway.http.operation import Asked, Nothing, Operation

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536


class NewCall(msgspec.Struct, forbid_unknown_fields=True):
    """A call of one responder."""

    topic: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    headers: dict[str, str] = {}
    schema_version: str = ""
    correlation_id: str = ""
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_CALL_TTL_MAX_MS)] = contract.DEFAULT_CALL_TTL_MS
    idempotent: bool = False
    idempotency_key: str = ""


class Reply(msgspec.Struct):
    """What the responder replied."""

    data: msgspec.Raw


async def call(asked: Asked[Nothing, NewCall]) -> Reply:
    """Call one responder, and wait for its reply."""
    body = asked.body
    asked.principal.check(Action.CALL, body.topic)
    request = wire.PublishAndWaitRequest(
        topic=body.topic,
        data=bytes(body.data),
        content_type=codec.JSON,
        headers=body.headers,
        schema_version=body.schema_version,
        correlation_id=body.correlation_id,
        idempotent=body.idempotent,
        idempotency_key=body.idempotency_key,
    )
    reply = await asked.gateway.simple.publish_and_wait(request, body.ttl_ms / 1000)
    return Reply(msgspec.Raw(_as_json(reply)))


def _as_json(reply: wire.PublishAndWaitResponse) -> bytes:
    if reply.content_type == codec.JSON:
        return reply.data
    return codec.encode(codec.decode(reply.data, reply.content_type), codec.JSON)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/calls",
        summary="Call a responder and wait for its reply",
        handler=call,
        body=NewCall,
        answer=Reply,
        most_bytes=_MOST_BYTES,
    ),
)
