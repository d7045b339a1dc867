"""Making envelopes: identities, and errors on the wire.

Rules: SPEC.md, sections 2 and 9.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from tieline import codec
from tieline._contract.contract import ERRORS
from tieline._contract.envelope_pb2 import Envelope, Error, Frame
from tieline.errors import InternalError, Outcome, TielineError, error_class

EVENT = 1
REQUEST = 2
ACCEPTED = 3
REPLY = 4
CANCEL = 5
STREAM_ITEM = 6
STREAM_END = 7
CREDIT = 8

_CODES = {spec.number: code for code, spec in ERRORS.items()}
_OUTCOMES = {1: Outcome.NOT_DELIVERED, 2: Outcome.MAY_HAVE_RUN, 3: Outcome.RAN}
_OUTCOME_NUMBERS = {outcome: number for number, outcome in _OUTCOMES.items()}
_PAGE_BYTES = 4096


class _Identities:
    """Identities made of random bytes from the system, fetched a page at a time.

    A forked child starts with a page of its own.
    """

    __slots__ = ("_at", "_head", "_millisecond", "_page", "_tail")

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._page = b""
        self._at = _PAGE_BYTES
        self._millisecond = 0
        self._head = ""
        self._tail = 0

    def _take(self, count: int) -> bytes:
        at = self._at
        if at + count > _PAGE_BYTES:
            self._page = os.urandom(_PAGE_BYTES)
            at = 0
        self._at = at + count
        return self._page[at : at + count]

    def call_id(self) -> bytes:
        """16 unguessable bytes."""
        return self._take(16)

    def instance(self) -> str:
        """Name of an instance: 16 hexadecimal digits."""
        return self._take(8).hex()

    def event_id(self) -> str:
        """UUIDv7 as text: milliseconds since 1970, then 74 bits, random for each millisecond and counting up within it.

        Source of the rule: RFC 9562, section 6.2, method 2.
        """
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._new_millisecond(millisecond)
        self._tail += 1
        return f"{self._head}{self._tail:012x}"

    def _new_millisecond(self, millisecond: int) -> None:
        noise = self._take(10)
        digits = noise.hex()
        self._millisecond = millisecond
        variant = "89ab"[noise[9] & 3]
        self._head = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{digits[:3]}-{variant}{digits[3:6]}-"
        self._tail = int(digits[6:18], 16) >> 1  # room to count


_identities = _Identities()
new_call_id = _identities.call_id
new_instance = _identities.instance
new_id = _identities.event_id


def error_to_wire(error: TielineError) -> Error:
    """Put an error on the wire. Details that cannot be encoded are left out."""
    wire = Error(
        code=ERRORS[error.code].number,  # pyright: ignore[reportArgumentType]
        message=_text(error.message),
        outcome=_OUTCOME_NUMBERS[error.outcome],  # pyright: ignore[reportArgumentType]
        type=_text(error.type),
    )
    if error.details:
        try:
            wire.details = codec.encode(error.details)
        except Exception:  # a TielineError, or what a value's own methods raised
            wire.details = codec.encode({"omitted": "the details could not be encoded"})
    if error.retry_after is not None:
        wire.retry_after_ms = max(1, int(error.retry_after * 1000))
    return wire


def _text(text: str) -> str:
    """As it can travel: half of a surrogate pair cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def error_from_wire(wire: Error) -> TielineError:
    """Read an error that the other side reported. Never raises: what cannot be read is said in the details."""
    code = _CODES.get(wire.code)
    details = _details_from_wire(wire.details)
    if code is None:
        details["number"] = int(wire.code)
    return (error_class(code) if code else InternalError)(
        wire.message,
        details=details,
        outcome=_OUTCOMES.get(wire.outcome, Outcome.MAY_HAVE_RUN),
        type=wire.type,
        retry_after=wire.retry_after_ms / 1000 if wire.retry_after_ms else None,
        from_wire=True,
    )


def _details_from_wire(data: bytes) -> dict[str, Any]:
    if not data:
        return {}
    try:
        details = codec.decode(data)
    except TielineError:
        return {"unreadable": data}
    return details if isinstance(details, dict) else {"value": details}


def parse(data: bytes) -> Envelope | None:
    """Read an envelope; None for bytes that are none, or whose kind is unknown."""
    try:
        envelope = Envelope.FromString(data)
    except Exception:  # protobuf's DecodeError; garbage disturbs nobody
        return None
    return envelope if EVENT <= envelope.kind <= CREDIT else None


def parse_frame(data: bytes) -> Sequence[Envelope]:
    """Read a frame; envelopes of unknown kind are left out, and bytes that are no frame hold none."""
    try:
        envelopes = Frame.FromString(data).envelopes
    except Exception:  # protobuf's DecodeError; garbage disturbs nobody
        return ()
    if len(envelopes) == 1:
        return envelopes if EVENT <= envelopes[0].kind <= CREDIT else ()
    return [envelope for envelope in envelopes if EVENT <= envelope.kind <= CREDIT]


def frame(data: bytes) -> bytes:
    """A frame with one serialized envelope. Frames may be joined: that is a frame with all their envelopes."""
    size = len(data)
    return (_FRAME_HEADS[size] if size < _SHORT else _frame_head(size)) + data


def _frame_head(size: int) -> bytes:
    """Field 1, length-delimited, and the length as protobuf's varint."""
    head = bytearray(b"\x0a")
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)


_SHORT = 1024
_FRAME_HEADS = tuple(map(_frame_head, range(_SHORT)))
