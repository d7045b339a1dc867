"""Events, payloads and errors, as the HTTP API shows them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tieline import codec
from tieline.context import Event
from tieline.errors import InvalidArgumentError, TielineError

_EPOCH = datetime.fromtimestamp(0, UTC)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, which a datetime can still say
_NOTHING = msgspec.Raw(b"null")


class Payload(msgspec.Struct, kw_only=True):
    """A payload: in `data` if JSON can say it; if it is bytes, or cannot be read, in `data_base64`."""

    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """JSON value."""
    data_base64: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str = ""
    """As it travelled."""


class EventDocument(Payload, kw_only=True):
    """An event, or a request. Moments are milliseconds since 1970."""

    id: str
    topic: str
    source: str
    """`service/instance` of the publisher."""
    time: int
    correlation_id: str
    causation_id: str
    headers: Mapping[str, str]
    schema_version: str
    key: str
    priority: int
    expires_at: int
    """0 for never."""
    replay: str
    """Id of the replay that delivers it again; empty otherwise."""


class ErrorDocument(msgspec.Struct):
    """What went wrong, somewhere."""

    code: str
    message: str
    type: str
    """Of what a handler raised."""
    outcome: str
    details: dict[str, Any]


def no_data() -> msgspec.Raw:
    """The payload of whoever gives none."""
    return _NOTHING


def payload(data: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a `Payload`; what cannot be read is shown as it travelled."""
    kind = content_type or codec.MSGPACK
    if not data:
        return {"data": _NOTHING, "content_type": kind}
    try:
        value = codec.decode(data, kind)
    except (TielineError, RecursionError):
        value = data
    if isinstance(value, bytes):
        return {"data_base64": base64.b64encode(value).decode(), "content_type": kind}
    shown = data if kind == codec.JSON else msgspec.json.encode(value, enc_hook=str)
    return {"data": msgspec.Raw(shown), "content_type": kind}


def event_document(event: Event) -> EventDocument:
    """Show an event."""
    envelope = event.envelope
    return EventDocument(
        id=event.id,
        topic=event.topic,
        source=event.source,
        time=envelope.time,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        headers=dict(envelope.headers),
        schema_version=event.schema_version,
        key=event.key,
        priority=event.priority,
        expires_at=envelope.expires_at,
        replay=event.replay,
        **payload(envelope.data, envelope.content_type),
    )


def error_document(error: TielineError) -> ErrorDocument:
    """Show an error that is part of an answer."""
    return ErrorDocument(error.code, error.message, error.type, error.outcome.value, error.details)


def milliseconds(moment: datetime | None) -> int | None:
    """A moment in milliseconds since 1970."""
    return None if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(name: str, given: int | None) -> datetime | None:
    """A moment that was told in milliseconds since 1970.

    Raises:
        InvalidArgumentError: it is none that can be meant.

    """
    if given is None:
        return None
    if not 0 <= given <= _LATEST_MS:
        raise InvalidArgumentError(f"{name} is in milliseconds since 1970, not {given}")
    return _EPOCH + timedelta(milliseconds=given)
