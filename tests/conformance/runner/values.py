"""What a value must look like where it arrives: exact, and of the type that SPEC.md says the reader's language has."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any

from tests.conformance._contract.value_pb2 import Value

SAFE = 2**53 - 1
_DATE_MS = 8_640_000_000_000_000
_PLAIN_NATIVES = {
    "python": {"nil": "NoneType", "bool": "bool", "int": "int", "double": "float", "text": "str", "bytes": "bytes"}
    | {"list": "list", "map": "dict"},
    "node": {"nil": "null", "bool": "boolean", "double": "number", "text": "string", "bytes": "Uint8Array"}
    | {"list": "Array", "map": "Object"},
}

Tree = tuple[Any, ...]


def tree(value: Value) -> Tree:
    """The value with everything that is repeated or nested written out; no types of any language."""
    kind = value.WhichOneof("kind") or "nil"
    content, times = getattr(value, kind), value.times or 1
    if kind == "nil":
        return ("nil",)
    if kind in ("text", "bytes"):
        return (kind, content * times)
    if kind == "list":
        return ("list", [tree(item) for item in value.items] * times)
    if kind == "map":
        return ("map", [(item.key, tree(item)) for item in value.items])
    if kind == "time":
        return ("time", content.seconds, content.nanos)
    if kind == "nest":
        return _nested(tree(content.inside), content.lists)
    return (kind, content)


def expected(value: Value, reader: str, languages: Collection[str] = ()) -> Tree:
    """As it must arrive at a reader; `languages` are those it went through on the way."""
    return _arriving(tree(value), reader, "node" in {reader, *languages})


def seen(value: Value) -> Tree:
    """As a peer said that it arrived."""
    plain = tree(value)
    if plain[0] == "list":
        return ("list", [seen(item) for item in value.items], value.native)
    if plain[0] == "map":
        return ("map", [(item.key, seen(item)) for item in value.items], value.native)
    return (*plain, value.native)


def show(what: Tree, most: int = 300) -> str:
    """For people."""
    text = repr(what)
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"


def equal(one: Tree, other: Tree) -> bool:
    """Whether two trees are the same, to the bit; maps in their order, unless JavaScript must reorder them."""
    if one[0] == other[0] == "map" and one[-1] == other[-1]:
        mine, theirs = one[1], other[1]
        if any(key.isdecimal() for key, _ in mine):
            mine, theirs = sorted(mine, key=lambda e: e[0]), sorted(theirs, key=lambda e: e[0])
        return len(mine) == len(theirs) and all(
            a == b and equal(x, y) for (a, x), (b, y) in zip(mine, theirs, strict=True)
        )
    if one[0] == other[0] == "list" and one[-1] == other[-1]:
        return len(one[1]) == len(other[1]) and all(equal(x, y) for x, y in zip(one[1], other[1], strict=True))
    return one == other


def _nested(inside: Tree, lists: int) -> Tree:
    for _ in range(lists):
        inside = ("list", [inside])
    return inside


def _arriving(what: Tree, reader: str, loses_integral: bool) -> Tree:
    kind = what[0]
    if kind == "list":
        return ("list", [_arriving(item, reader, loses_integral) for item in what[1]], _PLAIN_NATIVES[reader]["list"])
    if kind == "map":
        entries = [(key, _arriving(item, reader, loses_integral)) for key, item in what[1]]
        return ("map", entries, _PLAIN_NATIVES[reader]["map"])
    if kind == "double" and loses_integral and (whole := _whole(what[1])) is not None:
        kind, what = "int", ("int", str(whole))
    return (*what, _native(what, reader))


def _native(what: Tree, reader: str) -> str:
    if what[0] == "time":
        return _native_time(int(what[1]), what[2], reader)
    if what[0] == "int" and reader == "node":
        return "number" if abs(int(what[1])) <= SAFE else "bigint"
    return _PLAIN_NATIVES[reader][what[0]]


def _native_time(seconds: int, nanos: int, reader: str) -> str:
    if reader == "python":
        return "datetime" if nanos % 1_000 == 0 and -62_135_596_800 <= seconds <= 253_402_300_799 else "Timestamp"
    in_range = abs(seconds * 1_000 + nanos // 1_000_000) <= _DATE_MS
    return "Date" if nanos % 1_000_000 == 0 and in_range else "Timestamp"


def _whole(bits: str) -> int | None:
    """The integer that JavaScript cannot tell from this double."""
    if bits == "8000000000000000":
        return None
    number: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return int(number) if number.is_integer() and abs(number) <= SAFE else None
