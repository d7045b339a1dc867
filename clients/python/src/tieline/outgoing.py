"""Making what is published: bounds checked, context inherited. Rules: SPEC.md, sections 2 and 6."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Protocol

from tieline import codec, topics
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.clock import Clock
from tieline.context import CURRENT, Event
from tieline.envelope import REQUEST
from tieline.errors import (
    CallTimeoutError,
    InvalidArgumentError,
    InvalidTopicError,
    LoopDetectedError,
    Outcome,
    PayloadTooLargeError,
)
from tieline.tracing import inherit_trace

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_MAX_TTL = contract.LIMIT_CALL_TTL_MAX_MS


class Origin(Protocol):
    """Where envelopes come from."""

    source: str
    clock: Clock

    @property
    def places(self) -> Collection[str]:
        """Names this instance has and had at the broker; behind a gateway each reconnect brings a new one."""
        ...


def compose(
    kind: int,
    topic: str,
    data: Any,
    ttl_ms: int,
    origin: Origin,
    headers: Mapping[str, str] | None = None,
    content_type: str = "",
    schema_version: str = "",
    correlation_id: str = "",
    by_system: bool = False,
) -> Envelope:
    """An envelope without an id, which is made when it leaves the process or is asked for.

    Raises:
        InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: what was given is wrong.
        LoopDetectedError: too many handlers led here.
        CallTimeoutError: the request being handled has no time left for another call.

    """
    try:
        (topics.check_topic if by_system else _public_topic)(topic)
    except TypeError:  # not even hashable
        topics.check_topic(topic)
    payload = codec.encode(data, content_type)
    parent = CURRENT.get()
    if parent is not None and kind == REQUEST and parent.is_request:
        ttl_ms = _inherited(parent, ttl_ms, topic)
    now = origin.clock.now()
    envelope = Envelope(
        kind=kind,  # pyright: ignore[reportArgumentType]
        topic=topic,
        source=origin.source,
        time=now,
        ttl_ms=ttl_ms,
        expires_at=now + ttl_ms if ttl_ms else 0,
        data=payload,
    )
    if content_type:
        envelope.content_type = check_text(content_type, "content_type")
    if schema_version or correlation_id:
        envelope.schema_version = check_text(schema_version, "schema_version")
        envelope.correlation_id = check_text(correlation_id, "correlation_id")
    if headers:
        envelope.headers.update(check_headers(headers))
    if parent is not None:
        inherit(envelope, parent)
    return envelope


@lru_cache(maxsize=4096)
def _public_topic(topic: str) -> None:
    topics.check_topic(topic)
    if topics.is_reserved(topic):
        raise InvalidTopicError(f"{topic!r} is published by the system only; choose another first token")


def inherit(envelope: Envelope, parent: Event) -> None:
    """Take over what the handled event hands on: hops, correlation, cause, trace."""
    envelope.hops = parent.hops + 1
    if envelope.hops > contract.LIMIT_HOPS:
        raise LoopDetectedError(
            f"{parent.hops} handlers led to this publish of {envelope.topic!r}: "
            "a handler publishes, perhaps indirectly, what it handles",
            details={"hops": envelope.hops},
        )
    envelope.causation_id = parent.id
    envelope.correlation_id = envelope.correlation_id or parent.correlation_id
    handled = parent.envelope.headers
    if handled:
        inherit_trace(envelope.headers, handled)


def _inherited(parent: Event, ttl_ms: int, topic: str) -> int:
    remaining = parent.remaining()
    if remaining <= 0:
        raise CallTimeoutError(
            f"the request being handled has expired, so {topic!r} was not called", outcome=Outcome.NOT_DELIVERED
        )
    return ttl_ms if remaining == math.inf else max(1, min(ttl_ms, int(remaining * 1000)))


def inherited_seconds() -> float:
    """What the request being handled leaves for whatever it causes; infinite outside of one."""
    parent = CURRENT.get()
    return parent.remaining() if parent is not None and parent.is_request else math.inf


def ttl_ms(seconds: float | None, default: float, name: str = "ttl") -> int:
    """A TTL in milliseconds from one in seconds.

    Raises:
        InvalidArgumentError: it is no number between 1 ms and 24 h.

    """
    if seconds is None:
        return int(default * 1000)
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if number and contract.LIMIT_CALL_TTL_MIN_MS <= seconds * 1000 <= _MAX_TTL:  # not so for NaN and infinities
        return int(seconds * 1000)
    raise InvalidArgumentError(f"{name} is in seconds, from 0.001 to {_MAX_TTL // 1000}, not {seconds!r}")


def check_text(given: str, name: str) -> str:
    """What was given, if it is text.

    Raises:
        InvalidArgumentError: it is none, or none that can travel.

    """
    try:
        given.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InvalidArgumentError(f"{name} is text, not {given!r:.80}") from None
    return given


def check_wait(seconds: float, name: str) -> None:
    """Refuse what is no time to wait for something.

    Raises:
        InvalidArgumentError: it is no number between 0 and 24 h.

    """
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not (number and 0 <= seconds <= _MAX_TTL / 1000):  # not so for NaN
        raise InvalidArgumentError(f"{name} is in seconds, from 0 to {_MAX_TTL // 1000}, not {seconds!r}")


def check_key(key: str, name: str = "idempotency_key") -> str:
    """The key, if it can be one.

    Raises:
        InvalidArgumentError: it is no text, empty, too long, or has control characters.

    """
    limit = contract.LIMIT_KEY_BYTES
    try:
        if 0 < len(key.encode()) <= limit and not _control(key):
            return key
    except (AttributeError, UnicodeEncodeError, TypeError):
        pass
    raise InvalidArgumentError(f"{name} is text of 1 to {limit} bytes without control characters, not {key!r:.80}")


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers, if they are text and within bounds.

    Raises:
        InvalidArgumentError: a name or value is no text.
        PayloadTooLargeError: more than 64, or more than 8 KiB.

    """
    try:
        size = sum(len(name.encode()) + len(value.encode()) for name, value in headers.items())
    except (AttributeError, UnicodeEncodeError, TypeError):
        raise InvalidArgumentError("headers are a map of text to text") from None
    if len(headers) > contract.LIMIT_HEADERS or size > contract.LIMIT_HEADERS_BYTES:
        bounds = f"at most {contract.LIMIT_HEADERS}, {contract.LIMIT_HEADERS_BYTES} bytes in all"
        raise PayloadTooLargeError(f"{len(headers)} headers of {size} bytes: {bounds}")
    return headers
