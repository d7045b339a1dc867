"""`/v1/events`: publish, store, plan; also CloudEvents."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from starlette.requests import Request

from tieline import codec
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline.errors import InvalidArgumentError, PayloadTooLargeError
from tieline.topics import check_topic
from tieline.tracing import TRACEPARENT, TRACESTATE, inherit_trace
from tieline_gateway.access.principal import Action
from tieline_gateway.http import cloudevents
from tieline_gateway.http.cloudevents import BATCHED, STRUCTURED, CloudEvent, Incoming
from tieline_gateway.http.documents import no_data
from tieline_gateway.http.idempotency_key import idempotency_key
from tieline_gateway.http.operation import Asked, Operation
from tieline_gateway.http.serving import json_body, media_type

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536
_MOST_OF_BATCH = 8 * 1024 * 1024
_MOST_EVENTS = 1_000
"""In a batch: what is published together is published in one go, and others wait meanwhile."""
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class EventQuery(msgspec.Struct, forbid_unknown_fields=True):
    """For CloudEvents only."""

    durable: bool = False
    """Store it; its subject is its key, and an id that was stored before is not stored again."""


class PlanRetry(msgspec.Struct, forbid_unknown_fields=True):
    """How often, and in which pauses, to try to store a planned event."""

    attempts: Annotated[int, msgspec.Meta(ge=1, le=1_000)]
    backoff_ms: Number = 0
    """Before the second try, then twice as long each time …"""
    cap_ms: Number = 0
    """… up to this."""


class NewEvent(msgspec.Struct, forbid_unknown_fields=True):
    """An event. With `key` or `durable` it is stored; with `delay_ms` or `at` it is planned."""

    topic: str
    data: msgspec.Raw = msgspec.field(default_factory=no_data)
    """The payload, a JSON value."""
    headers: dict[str, str] = {}
    schema_version: str = ""
    correlation_id: str = ""
    ttl_ms: Annotated[int, msgspec.Meta(ge=0, le=contract.LIMIT_CALL_TTL_MAX_MS)] = 0
    """0: 30 s, or none if it is stored."""
    key: str = ""
    """Events of a key are handled strictly in order."""
    durable: bool = False
    priority: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    """1, 5, 8 or 10; 0 means 5."""
    dedupe: str = ""
    """It is stored once, whoever publishes again under this id within 24 hours."""
    max_stored: Number = 0
    """It is not stored if its key holds so many; 0 for no bound."""
    delay_ms: Annotated[int, msgspec.Meta(ge=0, le=contract.LIMIT_PLAN_LONGEST_MS)] = 0
    at: Number = 0
    """Milliseconds since 1970."""
    retry: PlanRetry | None = None


class Stored(msgspec.Struct):
    """Where an event is stored."""

    stream: str
    entry: str
    duplicate: bool
    """It was stored before."""


class Planned(msgspec.Struct):
    """When an event is published; its id is that of its schedule."""

    due: int
    """Milliseconds since 1970."""
    overdue: bool
    """That was to be in the past: it is published now."""


class Published(msgspec.Struct):
    """What became of an event."""

    id: str
    correlation_id: str
    stored: Stored | msgspec.UnsetType = msgspec.UNSET
    planned: Planned | msgspec.UnsetType = msgspec.UNSET


class PublishedTogether(msgspec.Struct):
    """What became of the events of a batch, in their order."""

    items: list[Published]


Batch = list[Incoming]


async def publish(asked: Asked[EventQuery, NewEvent | Incoming | Batch]) -> Published | PublishedTogether:
    """Publish, store or plan one event, or a batch of CloudEvents."""
    body = asked.body
    if isinstance(body, list):
        return await _publish_batch(asked, body)
    request = _of_json(body) if isinstance(body, NewEvent) else _of_cloud(body, durable=asked.query.durable)
    _check(asked, request)
    _add_key(asked, request)
    return _told(await asked.gateway.simple.publish(request, asked.principal.signature))


async def _publish_batch(asked: Asked[EventQuery, NewEvent | Incoming | Batch], batch: Batch) -> PublishedTogether:
    """Stored ones together, all or none; of live ones none if one of them is wrong."""
    if len(batch) > _MOST_EVENTS:
        told = f"a batch has at most {_MOST_EVENTS} events, not {len(batch)}; send several"
        raise PayloadTooLargeError(told, details={"size": len(batch), "limit": _MOST_EVENTS})
    asked.principal.meter.owe(len(batch) - 1)
    requests = [_of_cloud(each, durable=asked.query.durable) for each in batch]
    for request in requests:
        _check(asked, request)
    if idempotency_key(asked.request):
        raise InvalidArgumentError("Idempotency-Key names one event; those of a batch have ids of their own")
    told = await asked.gateway.simple.publish_together(requests, asked.principal.signature)
    return PublishedTogether([_told(each) for each in told])


def _check(asked: Asked[EventQuery, NewEvent | Incoming | Batch], request: wire.PublishRequest) -> None:
    asked.principal.check(Action.PUBLISH, check_topic(request.topic))
    headers = asked.request.headers
    if TRACEPARENT in headers:
        inherit_trace(request.headers, {name: headers[name] for name in (TRACEPARENT, TRACESTATE) if name in headers})


def _add_key(asked: Asked[EventQuery, NewEvent | Incoming | Batch], request: wire.PublishRequest) -> None:
    """What the header says the event is recognised by."""
    key = idempotency_key(asked.request)
    if not key:
        return
    if not (request.key or request.durable):
        raise InvalidArgumentError("Idempotency-Key is for what is stored: add a key, or durable")
    if isinstance(asked.body, NewEvent) and request.dedupe not in ("", key):
        raise InvalidArgumentError("dedupe and the header Idempotency-Key say the same: give one of them")
    request.dedupe = key


def _of_json(event: NewEvent) -> wire.PublishRequest:
    request = wire.PublishRequest(topic=event.topic, data=bytes(event.data), content_type=codec.JSON)
    for name in _SAME:
        value = getattr(event, name)
        if value:
            setattr(request, name, value)
    if event.headers:
        request.headers.update(event.headers)
    if event.retry is not None:
        for name in event.retry.__struct_fields__:
            setattr(request.retry, name, getattr(event.retry, name))
    return request


_SAME = (
    "schema_version", "correlation_id", "ttl_ms", "key", "durable", "priority", "dedupe", "max_stored", "delay_ms",
    "at",
)  # fmt: skip


def _of_cloud(event: Incoming, *, durable: bool) -> wire.PublishRequest:
    request = wire.PublishRequest(
        topic=event.topic, data=event.data, content_type=event.content_type, headers=event.headers
    )
    if durable:
        request.durable, request.key, request.dedupe = True, event.subject, event.known_as
    return request


def _told(response: wire.PublishResponse) -> Published:
    told = Published(response.id, response.correlation_id)
    if response.HasField("stored"):
        told.stored = Stored(response.stored.stream, response.stored.entry, response.stored.duplicate)
    if response.due:
        told.planned = Planned(response.due, response.overdue)
    return told


def _read(request: Request, raw: bytes) -> NewEvent | Incoming | Sequence[Incoming]:
    kind, headers = media_type(request), request.headers
    if kind == STRUCTURED:
        return cloudevents.structured(raw)
    if kind == BATCHED:
        return cloudevents.batched(raw)
    if cloudevents.is_binary(headers):
        return cloudevents.binary(headers, headers.get("content-type", ""), raw)
    return json_body(kind, raw, _decode)


_decode = msgspec.json.Decoder(NewEvent).decode

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/events",
        summary="Publish, store or plan an event",
        handler=publish,
        query=EventQuery,
        body=NewEvent,
        example={"topic": "user.created", "data": {"id": 123}, "key": "123"},
        read=_read,
        also={STRUCTURED: CloudEvent, BATCHED: list[CloudEvent]},
        answer=(Published, PublishedTogether),
        status=HTTPStatus.ACCEPTED,
        most_bytes=_MOST_OF_BATCH,
        keyed=True,
    ),
)
