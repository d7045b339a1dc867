"""What may come in from outside, and what it is stamped with. Rules: SPEC.md, sections 2, 4 and 8."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from tieline import codec, topics
from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope, Trail
from tieline.envelope import EVENT, REPLY, REQUEST, error_to_wire, parse
from tieline.errors import (
    HandlerError,
    InvalidArgumentError,
    InvalidTopicError,
    LoopDetectedError,
    PayloadTooLargeError,
    TielineError,
)
from tieline.outgoing import Origin, check_headers, check_key
from tieline.schedules.planner import put_off
from tieline.transport import Interest
from tieline.transports.grpc_frames import interest_from_wire
from tieline_gateway.access import rights
from tieline_gateway.access.principal import ANYBODY, Principal

_OWN_TOPICS = ("system.", "cron.task.")
_ENVELOPE_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 16_384
_OF_TICKS = ":"
_is_instance = re.compile(r"[0-9a-f]{16}").fullmatch


Simple = wire.PublishRequest | wire.PublishAndWaitRequest | wire.PublishAndStreamRequest | wire.PublishAndGatherRequest


class UnreadableError(InvalidArgumentError):
    """Something on a Link cannot be read; it ends the Link."""


class Door:
    """Checks and stamps what one instance sends through the gateway."""

    __slots__ = ("instance", "principal", "service", "source")

    def __init__(self, service: str, instance: str, principal: Principal = ANYBODY) -> None:
        self.principal = principal
        self.service = service
        self.instance = instance
        self.source = f"{service}/{instance}"

    def event(self, data: bytes, now: int) -> Envelope:
        """Read an event, or a request that was served elsewhere and is shown to observers.

        Raises:
            UnreadableError: it is no envelope.
            TielineError: it breaks a rule.

        """
        envelope = _read(data)
        if envelope.kind not in (EVENT, REQUEST):
            raise InvalidArgumentError(f"SendEvent carries events, not envelopes of kind {envelope.kind}")
        _check(envelope, len(data))
        if topics.is_reserved(envelope.topic) and not envelope.topic.startswith(_OWN_TOPICS):
            raise _reserved(envelope.topic)
        if envelope.kind == REQUEST:
            rights.check_request(self.principal, envelope.topic, envelope.data, envelope.content_type)
        else:
            rights.check_event(self.principal, envelope.topic)
        envelope.scheduled, envelope.replay = 0, ""
        return self._stamp(envelope, now)

    def stored(self, data: bytes, now: int) -> Envelope:
        """Read an event that is to be stored.

        Raises:
            TielineError: it is none, or breaks a rule.

        """
        envelope = _kept(data, "stored")
        envelope.scheduled = 0
        return self._stamp(envelope, now)

    def planned(self, data: bytes, now: int) -> Envelope:
        """Read an event that is to be published later; one whose moment has passed is to be published now.

        Raises:
            TielineError: it is none, or breaks a rule.

        """
        envelope = _kept(data, "planned")
        rights.check_event(self.principal, envelope.topic)
        check_key(envelope.id, "id")
        if not 0 < envelope.scheduled <= now + contract.LIMIT_PLAN_LONGEST_MS:
            raise InvalidArgumentError(
                f"scheduled is in milliseconds since 1970, up to ten years ahead, not {envelope.scheduled}"
            )
        put_off(self._sign(envelope, now), max(envelope.scheduled, now), envelope.ttl_ms)
        return envelope

    def request(self, data: bytes, now: int) -> tuple[Envelope, TielineError | None]:
        """Read a request; returns it with the rule it breaks, if any.

        Raises:
            UnreadableError: it is no envelope.

        """
        envelope = _read(data)
        try:
            if envelope.kind != REQUEST:
                raise InvalidArgumentError(f"SendRequest carries requests, not envelopes of kind {envelope.kind}")
            if len(envelope.call_id) != 16:
                raise InvalidArgumentError(f"call_id must have 16 bytes, not {len(envelope.call_id)}")
            if envelope.idempotency_key and (len(envelope.fingerprint) != 16 or not envelope.id):
                raise InvalidArgumentError("a request with an idempotency_key has an id, and a fingerprint of 16 bytes")
            _check(envelope, len(data))
            if topics.is_reserved(envelope.topic) and not _is_asked(envelope.topic):
                raise _reserved(envelope.topic)
            rights.check_request(self.principal, envelope.topic, envelope.data, envelope.content_type)
        except TielineError as error:
            return envelope, error
        envelope.reply_to = self.instance
        return self._stamp(envelope, now), None

    def answer(self, data: bytes, now: int) -> Envelope | None:
        """Read a reply or another step of a call; None if it is not one.

        A reply that breaks a rule becomes a failed reply, so that its caller need not wait for its deadline.

        Raises:
            UnreadableError: it is no envelope.

        """
        envelope = _read(data)
        if envelope.kind in (EVENT, REQUEST):
            return None
        if len(data) > contract.LIMIT_PAYLOAD_BYTES:
            try:
                _check_sizes(envelope, len(data))
            except TielineError as error:
                envelope = _failed(envelope, error)
        return self._sign(envelope, now)

    def claim(self, data: bytes) -> Envelope | None:
        """Read the request whose claim is given up; None if it can be nobody's."""
        envelope = _read(data)
        try:
            topics.check_topic(envelope.topic)
            check_key(envelope.idempotency_key)
        except TielineError:
            return None
        return envelope

    def _stamp(self, envelope: Envelope, now: int) -> Envelope:
        ttl = envelope.ttl_ms
        if ttl and not 0 < envelope.expires_at < now + ttl:
            envelope.expires_at = now + ttl
        return self._sign(envelope, now)

    def _sign(self, envelope: Envelope, now: int) -> Envelope:
        envelope.source = self.source
        envelope.time = now
        if envelope.reply_to:
            envelope.reply_to = self.instance
        return envelope


def compose(kind: int, request: Simple, ttl_ms: int, origin: Origin, by: str = "") -> Envelope:
    """The envelope of a simple call; its payload is checked and left as it is.

    Its source is the gateway's instance, where its replies go; and the name of whose call it is, where that is known.
    A colon is in no name of a service, so that nobody is taken for one.

    Raises:
        TielineError: the request breaks a rule.

    """
    _check_ttl(ttl_ms)
    for name in ("correlation_id", "schema_version"):
        if given := getattr(request, name):
            check_key(given, name)
    now = origin.clock.now()
    envelope = Envelope(
        kind=kind,  # pyright: ignore[reportArgumentType]
        topic=request.topic,
        source=origin.source.replace("/", f":{by}/", 1) if by else origin.source,
        time=now,
        ttl_ms=ttl_ms,
        expires_at=now + ttl_ms if ttl_ms else 0,
        content_type=request.content_type,
        data=request.data,
        schema_version=request.schema_version,
        correlation_id=request.correlation_id,
    )
    if isinstance(request, wire.PublishRequest):
        envelope.key, envelope.priority = request.key, request.priority
    if request.headers:
        envelope.headers.update(request.headers)
    _check(envelope, envelope.ByteSize())
    if topics.is_reserved(envelope.topic) and not (kind == REQUEST and _is_history(envelope.topic)):
        raise _reserved(envelope.topic)
    codec.decode(envelope.data, envelope.content_type)
    return envelope


def _is_asked(topic: str) -> bool:
    """Whether the system itself answers requests on it, to whoever asks."""
    return topic == contract.ASK_TOPIC or _is_history(topic)


def _is_history(topic: str) -> bool:
    return topic.startswith(f"{contract.HISTORY_TOPIC}.")


def interests(items: Iterable[wire.Interest]) -> list[Interest]:
    """Read what a Link wants to receive.

    Raises:
        TielineError: a route, topic, pattern or group is not allowed.

    """
    return [_interest(item) for item in items]


def is_trail(item: wire.SendTrail) -> bool:
    """Whether this can be the trail of something."""
    if not 0 < len(item.correlation_id) <= contract.LIMIT_KEY_BYTES or len(item.trail) > contract.LIMIT_TRAIL_BYTES:
        return False
    try:
        return bool(Trail.FromString(item.trail).steps)
    except DecodeError:
        return False


def is_instance(name: str) -> bool:
    """Whether this can be the name of an instance."""
    return _is_instance(name) is not None


def check_service(name: str) -> str:
    """Return the name of a service.

    Raises:
        InvalidArgumentError: it is none.

    """
    if "/" in name:
        raise InvalidArgumentError(f"service {name!r}: a slash is not allowed")
    try:
        return topics.check_group(name)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(error.message.replace("group", "service", 1)) from None


def _read(data: bytes) -> Envelope:
    envelope = parse(data)
    if envelope is None:
        raise UnreadableError(f"{len(data)} bytes are no envelope, or of an unknown kind")
    return envelope


def _kept(data: bytes, what: str) -> Envelope:
    envelope = _read(data)
    if envelope.kind != EVENT:
        raise InvalidArgumentError(f"only events are {what}, not envelopes of kind {envelope.kind}")
    _check(envelope, len(data))
    if topics.is_reserved(envelope.topic):
        raise _reserved(envelope.topic)
    envelope.redriven, envelope.replay = 0, ""
    return envelope


def _check(envelope: Envelope, size: int) -> None:
    topics.check_topic(envelope.topic)
    if size > contract.LIMIT_PAYLOAD_BYTES or envelope.headers:
        _check_sizes(envelope, size)
    if envelope.hops > contract.LIMIT_HOPS:
        raise LoopDetectedError(f"{envelope.hops} handlers led to {envelope.topic!r}", details={"hops": envelope.hops})
    _check_ttl(envelope.ttl_ms)
    if len(envelope.id) > contract.LIMIT_KEY_BYTES:
        raise InvalidArgumentError(f"an id has at most {contract.LIMIT_KEY_BYTES} characters, not {len(envelope.id)}")
    if envelope.kind == EVENT and _OF_TICKS in envelope.id:
        raise InvalidArgumentError(f"the id {envelope.id!r:.80} has a colon, as those of the ticks of cron tasks")
    if envelope.key:
        check_key(envelope.key, "key")
    if envelope.idempotency_key:
        check_key(envelope.idempotency_key)


def _check_ttl(milliseconds: int) -> None:
    limit = contract.LIMIT_CALL_TTL_MAX_MS
    if not 0 <= milliseconds <= limit:
        raise InvalidArgumentError(f"ttl_ms is {milliseconds}; it must be 0 for none, or up to {limit}")


def _check_sizes(envelope: Envelope, size: int) -> None:
    payload, limit = len(envelope.data), contract.LIMIT_PAYLOAD_BYTES
    if payload > limit:
        details = {"size": payload, "limit": limit}
        raise PayloadTooLargeError(f"the payload takes {payload} bytes, at most {limit} are allowed", details=details)
    check_headers(envelope.headers)
    if size > _ENVELOPE_BYTES:
        raise PayloadTooLargeError(f"the envelope takes {size} bytes, at most {_ENVELOPE_BYTES} are allowed")


def _interest(item: wire.Interest) -> Interest:
    try:
        interest = interest_from_wire(item)
    except ValueError:
        raise InvalidArgumentError(f"route {item.route} is unknown") from None
    if interest.route.name == "INBOX":
        raise InvalidArgumentError("the inbox needs no registration")
    check = topics.check_topic if interest.route.name in ("REQUEST", "MAIL") else topics.check_pattern
    check(interest.pattern)
    if interest.route.name == "REQUEST" and _is_history(interest.pattern):
        raise InvalidTopicError(f"{interest.pattern!r} is answered by recorders only, beside the broker")
    if interest.route.name in ("GROUP", "MAIL"):
        topics.check_group(interest.group)
    elif interest.group:
        raise InvalidArgumentError(f"a group was given for route {interest.route.name}")
    return interest


def _failed(reply: Envelope, error: TielineError) -> Envelope:
    unsendable = HandlerError(f"the reply could not be sent: {error.message}", type=type(error).__name__)
    return Envelope(kind=REPLY, call_id=reply.call_id, error=error_to_wire(unsendable))  # pyright: ignore[reportArgumentType]


def _reserved(topic: str) -> InvalidTopicError:
    return InvalidTopicError(f"{topic!r} is published by the system only; choose another first token")
