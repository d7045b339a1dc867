"""What may travel: the plain values, what becomes one of them, and a good reason why the rest may not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json as jsonlib
import math
import operator
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec

from tieline._contract.contract import LIMIT_PAYLOAD_BYTES, LIMIT_PAYLOAD_DEPTH
from tieline.errors import InvalidPayloadError, PayloadTooLargeError

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND: Final = 1_000_000_000  # nanoseconds
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 and 9999
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_JSON_INT_MAX: Final = 2**53 - 1  # beyond, JavaScript would read another number

_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_TEXT: Final = frozenset({str})
NO_PLACE_IN_JSON: Final = "cannot be said in JSON"
TOO_DEEP: Final = f"lists and maps are nested deeper than {LIMIT_PAYLOAD_DEPTH}"


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Timestamp:
    """A point in time as it travels; stands in for `datetime` where that has too few digits or years.

    `seconds` since 1970 (UTC, 64 bit, negative before), plus `nanoseconds` from 0 to 999,999,999.
    """

    seconds: int
    nanoseconds: int = 0

    def __post_init__(self) -> None:
        operator.index(self.seconds)  # raises TypeError for what is no integer
        operator.index(self.nanoseconds)
        if not -(2**63) <= self.seconds < 2**63:
            raise ValueError(f"seconds must fit into 64 bits, not {self.seconds}")
        if not 0 <= self.nanoseconds < _SECOND:
            raise ValueError(f"nanoseconds must be from 0 to 999999999, not {self.nanoseconds}")

    @classmethod
    def of(cls, moment: dt.datetime) -> Timestamp:
        """Make one of a zoned datetime."""
        since = moment - _EPOCH
        return cls(since.days * 86_400 + since.seconds, since.microseconds * 1_000)

    def to_native(self) -> dt.datetime | Timestamp:
        """Return the datetime in UTC that is exactly this moment; itself where there is none."""
        microseconds, rest = divmod(self.nanoseconds, 1_000)
        if rest or not _FIRST_SECOND <= self.seconds <= _LAST_SECOND:
            return self
        return _EPOCH + dt.timedelta(seconds=self.seconds, microseconds=microseconds)

    def to_bytes(self) -> bytes:
        """Return the content of MessagePack's extension -1, in the shortest of its three forms."""
        if not 0 <= self.seconds < 2**34:
            return struct.pack(">Iq", self.nanoseconds, self.seconds)
        if self.nanoseconds or self.seconds >= 2**32:
            return struct.pack(">Q", self.nanoseconds << 34 | self.seconds)
        return struct.pack(">I", self.seconds)


def is_plain(value: Any) -> bool:
    """Whether the value can be packed as it is, except for the range of its integers and the letters of its texts."""
    kind: type[Any] = type(value)
    if kind in _SCALARS:
        return True
    if kind is dict and _TEXT.issuperset(map(type, value)) and _SCALARS.issuperset(map(type, value.values())):
        return len(value) <= LIMIT_PAYLOAD_BYTES  # as most payloads are
    level, budget = [value], LIMIT_PAYLOAD_BYTES
    for _ in range(LIMIT_PAYLOAD_DEPTH):
        deeper: list[Any] = []
        for container in level:
            if not _look_into(container, deeper):
                return False
            budget -= len(container)
        if not deeper or budget < 0:
            return budget >= 0
        level = deeper
    return False


def _look_into(container: Any, deeper: list[Any]) -> bool:
    """Append to `deeper` all that is no scalar; False if this is neither a plain map nor a plain list."""
    kind: type[Any] = type(container)
    if kind is dict:
        for key, item in container.items():
            if type(key) is not str:
                return False
            if type(item) not in _SCALARS:
                deeper.append(item)
        return True
    if kind is list:
        deeper += [item for item in container if type(item) not in _SCALARS]
        return True
    return False


def to_plain(value: Any, *, json: bool = False) -> Any:
    """Return the value with everything converted that has a plain form.

    Raises:
        InvalidPayloadError: something has none; the message begins with its path.
        PayloadTooLargeError: it has more parts than a payload has bytes.

    """
    return _Walk(json).walk(value, ())


Path = tuple[str | int, ...]


class _Walk:
    """One walk through a value; `budget` bounds the parts, because a value may hold itself many times."""

    def __init__(self, json: bool) -> None:
        self.json = json
        self.budget = LIMIT_PAYLOAD_BYTES

    def walk(self, value: Any, path: Path) -> Any:
        self.budget -= 1
        if self.budget < 0:
            raise PayloadTooLargeError(
                f"the value has more than {LIMIT_PAYLOAD_BYTES} parts of a byte or more each",
                details={"limit": LIMIT_PAYLOAD_BYTES},
            )
        return (_CONVERT.get(type(value)) or _convert_by_base(value))(self, value, path)

    def same(self, value: bool | None, path: Path) -> bool | None:
        return value

    def text(self, value: str, path: Path) -> str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                _refuse(path, f"half of a surrogate pair at position {error.start} of a text has no UTF-8")
        return str.__str__(value)

    def integer(self, value: int, path: Path) -> int:
        if not _INT_MIN <= value <= _INT_MAX:
            _refuse(path, "an integer must be from -2**63 to 2**64-1; send it as text")
        if self.json and abs(value) > _JSON_INT_MAX:
            _refuse(path, f"an integer beyond 2**53-1 {NO_PLACE_IN_JSON} and be read the same by all; send it as text")
        return int.__int__(value)

    def number(self, value: float, path: Path) -> float:
        if self.json and not math.isfinite(value):
            _refuse(path, f"{float.__repr__(value)} {NO_PLACE_IN_JSON}")
        return float.__float__(value)

    def octets(self, value: bytes | bytearray | memoryview[int], path: Path) -> bytes:
        if self.json:
            _refuse(path, f"bytes {NO_PLACE_IN_JSON}; send them as text, e.g. base64")
        return memoryview(value).tobytes()

    def time(self, value: dt.datetime | Timestamp, path: Path) -> msgspec.msgpack.Ext:
        if self.json:
            _refuse(path, f"a time {NO_PLACE_IN_JSON}; send value.isoformat()")
        if isinstance(value, dt.datetime):
            if value.utcoffset() is None:
                _refuse(path, "a naive datetime has no place on a time line; give it a tzinfo")
            value = Timestamp.of(value)
        return msgspec.msgpack.Ext(-1, value.to_bytes())

    def list(self, items: Iterable[Any], path: Path) -> Any:
        self.enter(path)
        return [self.walk(item, (*path, index)) for index, item in enumerate(items)]

    def map(self, value: dict[Any, Any], path: Path) -> Any:
        return self.pairs(dict[Any, Any].items(value), path)

    def pairs(self, items: Iterable[tuple[Any, Any]], path: Path) -> Any:
        self.enter(path)
        plain: dict[str, Any] = {}
        for key, item in items:
            if not isinstance(key, str):
                _refuse(path, f"the key {shortened(key)} is {kind_of(key)}; keys must be text")
            plain[self.text(key, path)] = self.walk(item, (*path, key))
        return plain

    def object(self, value: Any, path: Path) -> Any:
        kind: type[Any] = type(value)
        if isinstance(value, msgspec.Struct):
            return self.pairs(_fields_of_struct(value), path)
        if dataclasses.is_dataclass(kind):
            return self.pairs(((field.name, getattr(value, field.name)) for field in dataclasses.fields(kind)), path)
        if hasattr(kind, "model_dump") and hasattr(kind, "model_fields"):  # pydantic, without importing it
            return self.walk(value.model_dump(by_alias=True), path)
        return _refuse(path, f"{kind_of(value)} cannot travel; {_hint(value)}")

    def enter(self, path: Path) -> None:
        if len(path) >= LIMIT_PAYLOAD_DEPTH:
            _refuse(path, TOO_DEEP)


_CONVERT: Final[dict[type, Callable[[_Walk, Any, Path], Any]]] = {
    type(None): _Walk.same,
    bool: _Walk.same,
    str: _Walk.text,
    int: _Walk.integer,
    float: _Walk.number,
    dict: _Walk.map,
    list: _Walk.list,
    tuple: _Walk.list,
    dt.datetime: _Walk.time,
    Timestamp: _Walk.time,
    bytes: _Walk.octets,
    bytearray: _Walk.octets,
    memoryview: _Walk.octets,
}


def _convert_by_base(value: Any) -> Callable[[_Walk, Any, Path], Any]:
    return next((convert for base, convert in _CONVERT.items() if isinstance(value, base)), _Walk.object)


def _fields_of_struct(value: msgspec.Struct) -> Iterable[tuple[str, Any]]:
    """The fields as msgspec would write them: renamed, tagged, without UNSET."""
    config = value.__struct_config__
    if config.tag is not None:
        yield str(config.tag_field), config.tag
    for name, written in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        item = getattr(value, name)
        if item is not msgspec.UNSET:
            yield written, item


def kind_of(value: Any) -> str:
    """Name the type of a value in a sentence."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


def shortened(value: Any) -> str:
    """Write a value for a message, in ASCII and not too long."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _refuse(path: Path, why: str) -> NoReturn:
    where = "$" + "".join(_step(step) for step in path)
    raise InvalidPayloadError(f"{where}: {why}", details={"path": where})


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,79}", step) else f"[{jsonlib.dumps(step[:80])}]"


_HINTS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    ((set, frozenset), "a list can"),
    (Decimal, "str(value) can, and float(value) if digits may be lost"),
    (UUID, "str(value) can"),
    ((dt.date, dt.time), "value.isoformat() can, and a zoned datetime"),
    (dt.timedelta, "value.total_seconds() can"),
    (Enum, "its value or name can"),
    (BaseException, "str(value) can"),
    (Mapping, "dict(value) can"),
)
_HINTS_BY_METHOD: Final = (
    ("tolist", "value.tolist() can"),  # numpy and its kind
    ("SerializeToString", 'value.SerializeToString() can, with content_type="application/x-protobuf"'),
    ("__iter__", "list(value) can"),
)


def _hint(value: Any) -> str:
    for kinds, hint in _HINTS:
        if isinstance(value, kinds):
            return hint
    for method, hint in _HINTS_BY_METHOD:
        if hasattr(value, method):
            return hint
    return "None, bool, int, float, str, bytes, list, dict, zoned datetimes and dataclasses can"
