"""The examples that every implementation is tested with, as values of Python; their README says how to read them."""

from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tieline import Timestamp

FOLDER = Path(__file__).parents[2] / "proto/vectors"


def vectors(name: str) -> Any:
    """One of the files."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def bytes_of(written: str | list[Any]) -> bytes:
    """Hexadecimal, or pieces of it with how often each is repeated."""
    if isinstance(written, str):
        return bytes.fromhex(written)
    return b"".join(
        bytes.fromhex(piece) if isinstance(piece, str) else bytes.fromhex(piece[0]) * piece[1] for piece in written
    )


def value_of(tagged: dict[str, Any]) -> Any:
    """The value that a tagged one means."""
    times = tagged.get("times", 1)
    (kind,) = set(tagged) - {"times"}
    given = tagged[kind]
    match kind:
        case "nil":
            return None
        case "bool":
            return given
        case "int":
            return int(given)
        case "float":
            return float(given)
        case "text":
            return given * times
        case "bytes":
            return bytes.fromhex(given) * times
        case "list":
            return [value_of(item) for item in given] * times
        case "map":
            return {key: value_of(item) for key, item in given}
        case _:
            return _time(int(given["seconds"]), given["nanoseconds"])


def _time(seconds: int, nanoseconds: int) -> datetime | Timestamp:
    """A datetime where it can hold it: whole microseconds of the years 1 to 9999."""
    microseconds, rest = divmod(nanoseconds, 1_000)
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=microseconds)
    except OverflowError:
        return Timestamp(seconds, nanoseconds)
    return Timestamp(seconds, nanoseconds) if rest else moment


def exactly(value: Any) -> Any:
    """Something that is equal only for values of the same types and bits: 1 is not True, 0.0 not -0.0, NaN is NaN."""
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, list):
        return "list", [exactly(item) for item in value]
    if isinstance(value, dict):
        return "map", [(key, exactly(item)) for key, item in sorted(value.items())]
    return type(value).__name__, value
