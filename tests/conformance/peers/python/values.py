"""The language-neutral value tree, and what Python has for it."""

from __future__ import annotations

import datetime as dt
import struct
from typing import Any

from tests.conformance._contract.value_pb2 import ODD_BAD_TIME, ODD_CYCLE, ODD_NUMBER_KEY, Time, Value
from tieline import Timestamp

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_YEARS_1_TO_9999 = range(-62_135_596_800, 253_402_300_800)


class Strange:
    """What no payload may hold."""


def to_native(value: Value) -> Any:
    """The Python value that the tree describes."""
    kind = value.WhichOneof("kind")
    content = getattr(value, kind)
    times = value.times or 1
    if kind == "nil":
        return None
    if kind == "bool":
        return content
    if kind == "int":
        return int(content)
    if kind == "double":
        return struct.unpack(">d", bytes.fromhex(content))[0]
    if kind == "text":
        return content * times
    if kind == "utf16":
        return bytes.fromhex(content).decode("utf-16-be", "surrogatepass")
    if kind == "bytes":
        return bytes.fromhex(content) * times
    if kind == "list":
        return [to_native(item) for item in value.items] * times
    if kind == "map":
        return {item.key: to_native(item) for item in value.items}
    return _FROM[kind](content)


def from_native(native: Any, key: str = "") -> Value:
    """The tree of what arrived, each part with the name of its type."""
    value = Value(native=type(native).__name__, key=key)
    match native:
        case list():
            value.list = True
            value.items.extend(from_native(item) for item in native)
        case dict():
            value.map = True
            value.items.extend(from_native(item, key) for key, item in native.items())
        case dt.datetime():
            since = native - _EPOCH
            seconds = since.days * 86_400 + since.seconds
            value.time.CopyFrom(Time(seconds=str(seconds), nanos=since.microseconds * 1_000))
        case Timestamp():
            value.time.CopyFrom(Time(seconds=str(native.seconds), nanos=native.nanoseconds))
        case _:
            _set_scalar(value, native)
    return value


def _set_scalar(value: Value, native: Any) -> None:
    match native:
        case None:
            value.nil = True
        case bool():
            value.bool = native
        case int():
            value.int = str(native)
        case float():
            value.double = struct.pack(">d", native).hex()
        case str():
            value.text = native
        case bytes():
            value.bytes = native.hex()
        case _:
            raise TypeError(f"no payload can be a {type(native).__name__}")


def _time(content: Any) -> Any:
    seconds = int(content.seconds)
    if content.nanos % 1_000 or seconds not in _YEARS_1_TO_9999:
        return Timestamp(seconds, content.nanos)
    return _EPOCH + dt.timedelta(seconds=seconds, microseconds=content.nanos // 1_000)


def _nest(content: Any) -> Any:
    inside = to_native(content.inside)
    for _ in range(content.lists):
        inside = [inside]
    return inside


def _odd(odd: Any) -> Any:
    if odd == ODD_NUMBER_KEY:
        return {1: "one"}
    if odd == ODD_BAD_TIME:
        return dt.datetime(2024, 1, 1)  # noqa: DTZ001 - without a zone it is no moment
    if odd == ODD_CYCLE:
        ring: list[Any] = []
        ring.append(ring)
        return ring
    return Strange()


_FROM = {"time": _time, "nest": _nest, "odd": _odd}
