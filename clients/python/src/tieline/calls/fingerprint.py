"""What tells the payloads of two calls with one idempotency key apart (SPEC.md, section 12).

Equal values have equal fingerprints, in whatever language, order of keys or content type they were written.
"""

from __future__ import annotations

import hashlib
import math
from itertools import chain
from typing import Any, Final

import msgspec

from tieline import codec
from tieline.plain import to_plain

_SAFE = 2**53 - 1
_SCALARS: Final = frozenset({type(None), bool, int, str, bytes})
_AS_IT_IS: Final = _SCALARS | {dict, list}
_pack = msgspec.msgpack.Encoder(order="deterministic").encode  # keys in the order of their UTF-8 bytes
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
    plain = _plain(value) if _holds_others(value) else value
    try:
        return _pack(plain)
    except OverflowError:
        return _pack(to_plain(plain))  # says where


def _holds_others(value: Any) -> bool:
    """Whether anything is written otherwise than it is: one look at each level, for most payloads hold nothing."""
    level = [value]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _AS_IT_IS:
            return True
        maps = [item.values() for item in level if type(item) is dict] if dict in kinds else []
        lists = [item for item in level if type(item) is list] if list in kinds else []
        level = [*chain.from_iterable(lists), *chain.from_iterable(maps)]
    return False


def _plain(value: Any) -> Any:
    """The value with each number and each time as it is written."""
    kind: type[Any] = type(value)
    if kind is float:
        return _number(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is list:
        return value if _SCALARS.issuperset(map(type, value)) else [_plain(item) for item in value]
    return value if kind in _SCALARS else to_plain(value)


def _number(value: float) -> int | float:
    """Integral doubles arrive as integers from JavaScript, except minus zero."""
    if math.isnan(value):
        return math.nan
    minus_zero = value == 0 and math.copysign(1, value) < 0
    whole = value.is_integer() and abs(value) <= _SAFE and not minus_zero
    return int(value) if whole else value
