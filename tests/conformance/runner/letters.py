"""Envelopes as a case wants them, and errors as they come."""

from __future__ import annotations

from typing import Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Failure
from tests.conformance._contract.value_pb2 import Value
from tests.conformance.runner.checks import Names
from tests.conformance.runner.raw import now_ms
from tieline import Outcome
from tieline._contract.contract import ERRORS
from tieline._contract.envelope_pb2 import Envelope, Error, Stream
from tieline.envelope import EVENT, REPLY, REQUEST, new_call_id, new_id
from tieline.errors import error_class

_TTL_MS = 10_000
_CODES = {spec.number: code for code, spec in ERRORS.items()}
_OUTCOMES = ("", *Outcome)
_SKIPPED = ("headers", "error", "extra", "no_error", "no_stream", "stream", "expires_in_ms", "data_times")


def event(letter: schema.Letter, instance: str, names: Names) -> Envelope:
    """An event, alive for ten seconds unless the letter says otherwise."""
    now = now_ms()
    usual: dict[str, Any] = {"id": new_id(), "kind": EVENT, "source": f"raw/{instance}", "time": now}
    envelope = Envelope(**usual, ttl_ms=_TTL_MS, expires_at=now + _TTL_MS, data=b"\xc0")
    return _filled(envelope, letter, names)


def request(letter: schema.Letter, instance: str, names: Names) -> Envelope:
    """A request with a call id of its own."""
    envelope = event(letter, instance, names)
    envelope.kind = letter.kind if letter.HasField("kind") else REQUEST  # type: ignore[assignment]
    envelope.call_id = envelope.call_id or new_call_id()
    envelope.reply_to = instance
    return envelope


def answer(letter: schema.Letter, asked: Envelope, instance: str, names: Names) -> Envelope:
    """A reply to a request that was heard."""
    envelope = Envelope(kind=REPLY, call_id=asked.call_id, source=f"raw/{instance}")  # type: ignore[arg-type]
    return _filled(envelope, letter, names)


def unasked(letter: schema.Letter, instance: str, names: Names) -> Envelope:
    """Something for an inbox."""
    return _filled(Envelope(source=f"raw/{instance}"), letter, names)


def failure_of(error: Error) -> Failure:
    """What a program would see of an error on the wire."""
    code, outcome = _CODES.get(error.code, ""), _OUTCOMES[error.outcome]
    made = error_class(code)(error.message, outcome=outcome or None)
    name = type(made).__name__
    known: dict[str, Any] = {"retryable": made.retryable, "from_wire": True, "class_name": name, "type": error.type}
    if error.retry_after_ms:
        known["retry_after_ms"] = error.retry_after_ms
    details = Value(map=True)
    return Failure(code=code, message=error.message, outcome=outcome, details=details, **known)


def written(envelope: Envelope, letter: schema.Letter) -> bytes:
    """As it travels, with what nobody knows at its end."""
    return envelope.SerializeToString() + bytes.fromhex(letter.extra)


def _filled(envelope: Envelope, letter: schema.Letter, names: Names) -> Envelope:
    for field, value in letter.ListFields():
        if field.name not in _SKIPPED:
            is_bytes = field.name in ("data", "call_id", "fingerprint")
            text = names.put(value) if isinstance(value, str) else value
            setattr(envelope, field.name, bytes.fromhex(text) if is_bytes else text)
    envelope.data *= letter.data_times or 1
    if letter.HasField("headers"):
        envelope.headers.update(letter.headers.all)
    if letter.HasField("stream"):
        envelope.stream.MergeFrom(Stream(**{field.name: value for field, value in letter.stream.ListFields()}))
    if letter.HasField("expires_in_ms"):
        envelope.expires_at = now_ms() + letter.expires_in_ms
    if letter.HasField("error"):
        given = {field.name: value for field, value in letter.error.ListFields()}
        if "details" in given:
            given["details"] = bytes.fromhex(given["details"])
        envelope.error.CopyFrom(Error(**given))
    return envelope
