"""CloudEvents 1.0 over HTTP: binary, structured and batched mode, as events of ours.

`type` is the topic. Of an event that is stored `subject` is its key, and `source` with `id` is what it is recognised
by, so it is stored once within 24 hours. All attributes travel as headers: `ce-id`, `ce-source`, `ce-subject` …
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from tieline import codec
from tieline._contract import contract
from tieline.errors import InvalidArgumentError, InvalidPayloadError
from tieline.tracing import TRACEPARENT, TRACESTATE

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PREFIX = "ce-"

_is_name = re.compile(r"[a-z0-9]{1,64}").fullmatch
_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_DATA = frozenset({"data", "data_base64"})
_NEEDED = ("id", "source", "type")
_VERSION = "1.0"


class CloudEvent(msgspec.Struct, kw_only=True):
    """A CloudEvent in structured mode; other members are extensions."""

    specversion: str
    id: str
    source: str
    type: str
    """The topic."""
    subject: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType = msgspec.UNSET
    """RFC 3339."""
    datacontenttype: str | msgspec.UnsetType = msgspec.UNSET
    dataschema: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET


class Incoming(NamedTuple):
    """What a CloudEvent says."""

    topic: str
    data: bytes
    content_type: str
    headers: dict[str, str]
    subject: str
    known_as: str
    """What it is recognised by."""


def structured(raw: bytes) -> Incoming:
    """Read one event.

    Raises:
        InvalidPayloadError, InvalidArgumentError: it is none, or lacks what each must have.

    """
    return _of_members(_decode(raw, dict[str, msgspec.Raw]))


def batched(raw: bytes) -> list[Incoming]:
    """Read a list of events.

    Raises:
        InvalidPayloadError, InvalidArgumentError: it is none, or one of them is none.

    """
    events: list[Incoming] = []
    for place, members in enumerate(_decode(raw, list[dict[str, msgspec.Raw]])):
        try:
            events.append(_of_members(members))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"[{place}]: {error.message}", details=error.details) from None
    return events


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers is an event in binary mode."""
    return f"{PREFIX}specversion" in headers


def binary(headers: Mapping[str, str], content_type: str, raw: bytes) -> Incoming:
    """Read an event whose attributes are headers, and whose data is the body.

    Raises:
        InvalidArgumentError: it lacks what each must have.

    """
    attributes = {
        name.removeprefix(PREFIX): unquote(value, errors="strict") if "%" in value else value
        for name, value in headers.items()
        if name.startswith(PREFIX)
    }
    return _incoming(attributes, raw, content_type or (codec.OCTETS if raw else codec.JSON))


def _of_members(members: dict[str, msgspec.Raw]) -> Incoming:
    attributes = {name: _text(name, value) for name, value in members.items() if name not in _DATA}
    content_type = attributes.pop("datacontenttype", "") or codec.JSON
    return _incoming(attributes, _data_of(members, content_type), content_type)


def _data_of(members: dict[str, msgspec.Raw], content_type: str) -> bytes:
    if "data_base64" in members:
        if "data" in members:
            raise InvalidArgumentError("a CloudEvent has data, or data_base64, not both")
        text = _decode(members["data_base64"], str)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidArgumentError("data_base64 of a CloudEvent is no base64") from None
    raw = bytes(members.get("data", b"null"))
    kind = content_type.partition(";")[0].strip().lower()
    if kind == codec.JSON or kind.endswith("+json"):
        return raw
    value = _decode(raw, Any)
    return value.encode() if isinstance(value, str) else raw


def _text(name: str, raw: msgspec.Raw) -> str:
    """The value of an attribute: a text, a whole number or a truth value."""
    value = _decode(raw, Any)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    if value is None:
        return ""
    raise InvalidArgumentError(f"{name!r:.80} of a CloudEvent is a text, a whole number or true or false")


def _incoming(attributes: dict[str, str], data: bytes, content_type: str) -> Incoming:
    given = {name: value for name, value in attributes.items() if value}
    for name, value in given.items():
        if not _is_name(name):
            raise InvalidArgumentError(f"{name!r:.80} is no name of a CloudEvents attribute: a-z and 0-9 only")
        if _control(value):
            raise InvalidArgumentError(f"{name!r} of a CloudEvent has control characters")
    version = given.pop("specversion", "")
    if version != _VERSION:
        raise InvalidArgumentError(f"specversion of a CloudEvent is 1.0, not {version!r:.80}")
    missing = [name for name in _NEEDED if name not in given]
    if missing:
        raise InvalidArgumentError(f"a CloudEvent has {', '.join(_NEEDED)}; this one has no {', '.join(missing)}")
    _check_time(given.get("time"))
    trace = {name: given.pop(name) for name in (TRACEPARENT, TRACESTATE) if name in given}
    topic = given.pop("type")
    headers = {f"{PREFIX}{name}": value for name, value in given.items()} | trace
    known_as = _known_as(given["source"], given["id"])
    return Incoming(topic, data, content_type, headers, given.get("subject", ""), known_as)


def _check_time(time: str | None) -> None:
    try:
        if time is not None:
            msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        raise InvalidArgumentError(f"time of a CloudEvent is as in 2026-01-31T12:00:00Z, not {time!r:.80}") from None


def _known_as(source: str, id: str) -> str:
    """Both together are unique to the event; as a digest if they would be too long."""
    known_as = f"{source}#{id}"
    if len(known_as.encode()) <= contract.LIMIT_KEY_BYTES:
        return known_as
    return hashlib.sha256(known_as.encode()).hexdigest()


def _decode(raw: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"this is no CloudEvent: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidPayloadError(f"the body is no JSON: {error}") from None
