"""Values as documents: what `--json` prints, and payloads as people read them."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click

from tieline.codec import Timestamp
from tieline.context import Event
from tieline.errors import TielineError
from tieline.history.events import HistoryEvent

_EVENT = ("id", "topic", "time", "source", "correlation_id", "causation_id", "key", "headers", "schema_version")


def print_json(value: Any) -> None:
    """Print a document for programs, over several lines."""
    click.echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON; what a terminal would obey is escaped, and bytes are base64."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent, separators=separators)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def plain(value: Any) -> Any:
    """A value as JSON can say it: records as objects, moments as text in UTC, bytes as base64."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _composed(value)


def _composed(value: Any) -> Any:
    if isinstance(value, TielineError):
        return error_document(value)
    if isinstance(value, Event):
        return event_document(value)
    if isinstance(value, HistoryEvent):
        told = {name: each for name, each in value._asdict().items() if name != "payload"}
        return plain(told | payload_document(value))
    if isinstance(value, Timestamp) or not hasattr(value, "__iter__"):
        return _record(value)
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if hasattr(value, "items"):
        return {_key(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value]


def _record(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, Timestamp):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(plain(key))


def error_document(error: TielineError) -> dict[str, Any]:
    """An error for programs."""
    told = {"code": error.code, "message": error.message, "type": error.type, "outcome": error.outcome.value}
    extra = {"details": plain(error.details), "correlation_id": error.correlation_id, "retry_after": error.retry_after}
    return told | {name: value for name, value in extra.items() if value}


def event_document(event: Event) -> dict[str, Any]:
    """An event or request for programs."""
    told = {name: plain(getattr(event, name)) for name in _EVENT}
    kind = {"kind": "request" if event.is_request else "event"}
    attempt = {"attempt": event.delivery.attempt} if event.delivery else {}
    replay = {"replay": event.replay} if event.replay else {}
    return kind | told | attempt | replay | payload_document(event)


def payload_document(event: Event | HistoryEvent) -> dict[str, Any]:
    """The payload of an event; what cannot be read is told as such."""
    try:
        return {"content_type": event.content_type, "data": plain(event.data)}
    except TielineError as error:
        return {"content_type": event.content_type, "data": None, "unreadable": error.message}


def payload_text(event: Event | HistoryEvent) -> str:
    """The payload of an event, in one line, for people."""
    told = payload_document(event)
    return f"unreadable: {told['unreadable']}" if "unreadable" in told else json_text(told["data"])
