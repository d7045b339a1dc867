"""`/v1/events`: publish."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from tieline import codec
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline_gateway.access.principal import Action
from tieline_gateway.http.operation import Asked, Nothing, Operation

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536


class NewEvent(msgspec.Struct, forbid_unknown_fields=True):
    """An event. With `key` or `durable` it is stored; with `delay_ms` or `at` it is planned."""

    topic: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    headers: dict[str, str] = {}
    schema_version: str = ""
    correlation_id: str = ""
    ttl_ms: int = 0
    key: str = ""
    durable: bool = False
    priority: int = 0
    dedupe: str = ""
    delay_ms: int = 0
    at: int = 0
    """Milliseconds since 1970."""


class Stored(msgspec.Struct):
    """Where an event is stored."""

    stream: str
    entry: str
    duplicate: bool


class Published(msgspec.Struct, omit_defaults=True):
    """What became of an event."""

    id: str
    correlation_id: str
    stored: Stored | None = None


async def publish(asked: Asked[Nothing, NewEvent]) -> Published:
    """Publish, store or plan one event."""
    event = asked.body
    asked.principal.check(Action.PUBLISH, event.topic)
    told = await asked.gateway.simple.publish(_on_the_wire(event))
    return Published(told.id, told.correlation_id)


def _on_the_wire(event: NewEvent) -> wire.PublishRequest:
    return wire.PublishRequest(
        topic=event.topic,
        data=bytes(event.data),
        content_type=codec.JSON,
        headers=event.headers,
        ttl_ms=event.ttl_ms,
        schema_version=event.schema_version,
        correlation_id=event.correlation_id,
        key=event.key,
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/events",
        summary="Publish, store or plan an event",
        handler=publish,
        body=NewEvent,
        answer=Published,
        status=HTTPStatus.ACCEPTED,
        most_bytes=_MOST_BYTES,
    ),
)
