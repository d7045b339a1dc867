"""Payloads: values to bytes and back, the same in every language (SPEC.md, section 3).

Small maps pass here four times in every call, so the good case is one look at the types and one call into C. Whatever
needs converting, or explaining, is left to the slow walk in `plain.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, cast

import msgpack
import msgspec

from tieline._contract.contract import LIMIT_PAYLOAD_BYTES, LIMIT_PAYLOAD_DEPTH
from tieline.errors import InvalidArgumentError, InvalidPayloadError, PayloadTooLargeError
from tieline.plain import NO_PLACE_IN_JSON, TOO_DEEP, Timestamp, is_plain, kind_of, to_plain

__all__ = ["JSON", "MSGPACK", "OCTETS", "PROTOBUF", "TEXT", "Timestamp", "decode", "encode", "encode_reply"]

MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"
TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"
PROTOBUF: Final = "application/x-protobuf"

_pack = msgspec.msgpack.Encoder().encode
_unpack = cast("Callable[..., Any]", msgpack.unpackb)
# Reads to the end of the value without making any of it: finds truncation and trailing bytes.
_skip = msgspec.msgpack.Decoder(msgspec.Raw).decode
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_MessagePackTime = cast("type[Any]", msgpack.Timestamp)
_BUFFERS: Final[tuple[type[Any], ...]] = (bytes, bytearray, memoryview)
_TEXT_ONLY: Final = frozenset({str})
_CONTAINERS: Final = frozenset({dict, list})


# What a byte of MessagePack may begin, if it is not the middle of something. Without the two marks beyond ASCII no
# container can declare more than 15 items, there are no extensions, and no keys that are bytes.
_SHORT_CONTAINER, _LONG_CONTAINER, _BYTES_OR_EXTENSION = 0x01, 0x81, 0x82


def _mark(byte: int) -> int:
    if 0x80 <= byte <= 0x9F:
        return _SHORT_CONTAINER
    if 0xDC <= byte <= 0xDF:
        return _LONG_CONTAINER
    return _BYTES_OR_EXTENSION if 0xC4 <= byte <= 0xC9 or 0xD4 <= byte <= 0xD8 else 0


_MARKS: Final = bytes(_mark(byte) for byte in range(256))


def encode(value: Any, content_type: str = "") -> bytes:
    """Turn a value into a payload of the content type; MessagePack unless stated.

    Raises:
        InvalidPayloadError: the value, or what `details["path"]` names in it, cannot travel.
        PayloadTooLargeError: it takes more than 1 MiB.

    """
    if not content_type or content_type == MSGPACK:
        data = _encode_msgpack(value)
    else:
        data = _ENCODERS.get(_media_type(content_type), _encode_octets)(value)
    if len(data) > LIMIT_PAYLOAD_BYTES:
        _refuse_size(len(data))
    return data


def decode(data: bytes, content_type: str = "") -> Any:
    """Turn a payload into a value. No data is None (in text and octets: empty).

    Raises:
        InvalidPayloadError: the bytes are not what the content type says, or hold what no payload may.
        PayloadTooLargeError: there are more than 1 MiB of them.

    """
    if len(data) > LIMIT_PAYLOAD_BYTES:
        _refuse_size(len(data))
    if not content_type or content_type == MSGPACK:
        return _decode_msgpack(data)
    return _DECODERS.get(_media_type(content_type), bytes)(data)


def encode_reply(value: Any, request_content_type: str) -> tuple[bytes, str]:
    """Encode what a handler returned, and say as what: JSON for a JSON request if possible, else MessagePack as "".

    Raises:
        InvalidPayloadError: the value cannot travel at all.
        PayloadTooLargeError: it takes more than 1 MiB.

    """
    if request_content_type and _media_type(request_content_type) == JSON:
        try:
            data = _encode_json_value(value)
        except InvalidPayloadError:
            return encode(value), ""
        if len(data) > LIMIT_PAYLOAD_BYTES:
            _refuse_size(len(data))
        return data, JSON
    return encode(value), ""


def _media_type(content_type: str) -> str:
    if not isinstance(content_type, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"content_type is text, as in application/json, not {content_type!r:.80}")
    return content_type.partition(";")[0].strip().lower()


def _refuse_size(size: int) -> NoReturn:
    raise PayloadTooLargeError(
        f"the payload takes {size} bytes, at most {LIMIT_PAYLOAD_BYTES} are allowed",
        details={"size": size, "limit": LIMIT_PAYLOAD_BYTES},
    )


# --- MessagePack ----------------------------------------------------------------------------------------------------


def _encode_msgpack(value: Any) -> bytes:
    if is_plain(value):
        try:
            return _pack(value)
        except (OverflowError, UnicodeEncodeError):
            pass  # the slow walk says where
    return _pack(to_plain(value))


def _decode_msgpack(data: bytes) -> Any:
    if not data:
        return None
    marks = data.translate(_MARKS)
    try:
        if marks.isascii():
            value = _unpack(data)
            return value if len(data) <= LIMIT_PAYLOAD_DEPTH else _inspect_if_deep(value, marks)
        _skip(data)
        value = _unpack(data, ext_hook=_refuse_extension)
    except InvalidPayloadError:
        raise
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise InvalidPayloadError(_fault_of_msgpack(error)) from error
    return _inspect(value) if _BYTES_OR_EXTENSION in marks else _inspect_if_deep(value, marks)


def _inspect_if_deep(value: Any, marks: bytes) -> Any:
    """Every level takes a byte that begins a container: few of them, no great depth."""
    containers = marks.count(_SHORT_CONTAINER) + marks.count(_LONG_CONTAINER)
    return value if containers <= LIMIT_PAYLOAD_DEPTH else _inspect(value)


def _inspect(value: Any) -> Any:
    """Check depth and keys, level by level, and put our times in the place of MessagePack's."""
    top = [value]
    level: list[Any] = [top]
    for _ in range(LIMIT_PAYLOAD_DEPTH + 1):
        level = [item for container in level for item in _inspect_container(container)]
        if not level:
            return top[0]
    raise InvalidPayloadError(TOO_DEEP)


def _inspect_container(container: Any) -> list[Any]:
    deeper: list[Any] = []
    is_map: bool = type(container) is dict
    keys: Iterable[Any] = container if is_map else ()
    if not _TEXT_ONLY.issuperset(map(type, keys)):
        raise InvalidPayloadError("a map has keys that are not text")
    items: Iterable[tuple[Any, Any]] = container.items() if is_map else enumerate(container)
    for key, item in items:
        if type(item) in _CONTAINERS:
            deeper.append(item)
        elif type(item) is _MessagePackTime:
            container[key] = Timestamp(item.seconds, item.nanoseconds).to_native()
    return deeper


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise InvalidPayloadError(f"extension type {code} ({len(data)} bytes) has no meaning here; only -1, time, has")


def _fault_of_msgpack(error: Exception) -> str:
    if isinstance(error, RecursionError | msgpack.exceptions.StackError):
        return TOO_DEEP
    if isinstance(error, msgpack.exceptions.ExtraData):
        return "there are bytes after the end of the value"
    if isinstance(error, UnicodeDecodeError):
        return "a text is no UTF-8"
    reason = str(error) or type(error).__name__
    if re.search("truncated|incomplete|exceeds max_", reason):
        return "the data ends in the middle of a value"
    return f"the data is no MessagePack of ours: {reason}"


# --- JSON, text, octets ---------------------------------------------------------------------------------------------


def _encode_json(value: Any) -> bytes:
    return bytes(value) if isinstance(value, _BUFFERS) else _encode_json_value(value)


def _encode_json_value(value: Any) -> bytes:
    return _to_json(to_plain(value, json=True)).encode()


def _decode_json(data: bytes) -> Any:
    if not data:
        return None
    try:
        value = _from_json(data.decode())
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except RecursionError:
        raise InvalidPayloadError(TOO_DEEP) from None
    except ValueError as error:
        raise InvalidPayloadError(f"the data is no JSON: {error}") from error
    if data.count(b"[") + data.count(b"{") > LIMIT_PAYLOAD_DEPTH:
        return _inspect(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} {NO_PLACE_IN_JSON}")


_from_json = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _encode_text(value: Any) -> bytes:
    if not isinstance(value, str):
        return _encode_octets(value, "text/plain takes str, or bytes that are UTF-8")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidPayloadError(f"$: half of a surrogate pair at position {error.start}") from None


def _decode_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidPayloadError(f"the text is no UTF-8: {error}") from error


def _encode_octets(value: Any, wanted: str = "this content type takes bytes") -> bytes:
    if not isinstance(value, _BUFFERS):
        raise InvalidPayloadError(f"$: {wanted}, not {kind_of(value)}", details={"path": "$"})
    return bytes(value)


_ENCODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "": _encode_msgpack,
    MSGPACK: _encode_msgpack,
    JSON: _encode_json,
    TEXT: _encode_text,
}
_DECODERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "": _decode_msgpack,
    MSGPACK: _decode_msgpack,
    JSON: _decode_json,
    TEXT: _decode_text,
}
