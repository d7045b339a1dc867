"""What tells the payloads of two calls with one idempotency key apart (SPEC.md, section 12).

Equal values have equal fingerprints, in whatever language, order of keys or content type they were written.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import Any

import msgspec

from tieline import codec

_SAFE = 2**53 - 1
_NAN = struct.pack(">d", math.nan)
_pack = msgspec.msgpack.Encoder().encode
_BYTES = 16


def fingerprint(data: bytes, content_type: str) -> bytes:
    """16 bytes for an encoded payload.

    Raises:
        InvalidPayloadError: it cannot be read.

    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("", codec.MSGPACK, codec.JSON):
        canonical = _canonical(codec.decode(data, content_type))
    else:
        canonical = media_type.encode() + b"\0" + data
    return hashlib.sha256(canonical).digest()[:_BYTES]


def _canonical(value: Any) -> bytes:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        pairs = sorted((key.encode(), item) for key, item in value.items())
        body = b"".join(_pack(key.decode()) + _canonical(item) for key, item in pairs)
        return _head(len(pairs), 0x80, 0xDE) + body
    if isinstance(value, list):
        return _head(len(value), 0x90, 0xDC) + b"".join(map(_canonical, value))
    return codec.encode(value)


def _number(value: float) -> bytes:
    """Integral doubles arrive as integers from JavaScript, except minus zero."""
    if math.isnan(value):
        return b"\xcb" + _NAN
    minus_zero = value == 0 and math.copysign(1, value) < 0
    whole = value.is_integer() and abs(value) <= _SAFE and not minus_zero
    return _pack(int(value)) if whole else _pack(value)


def _head(count: int, short: int, long: int) -> bytes:
    """MessagePack's head of a map or list: shortest form."""
    if count < 16:
        return bytes([short | count])
    return struct.pack(">BH", long, count) if count < 65_536 else struct.pack(">BI", long + 1, count)
