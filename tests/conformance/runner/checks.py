"""Comparing what was seen with what a case expects."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Answer, Delivered, Failure
from tests.conformance._contract.value_pb2 import Value
from tests.conformance.runner import values
from tieline._contract.envelope_pb2 import Envelope
from tieline.errors import error_class

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch

_NAME = re.compile(r"\$(\w+)")


class Names:
    """The texts that stand for "$name"."""

    def __init__(self, **known: str) -> None:
        self._known = known

    def same(self, expected: str, seen: str) -> bool:
        """Whether it is the text expected; a name that is new takes it."""
        if expected.startswith("$"):
            return bool(seen) and self._known.setdefault(expected[1:], seen) == seen
        return self.put(expected) == seen

    def know(self, name: str, text: str) -> None:
        """From now on the name stands for this."""
        self._known[name] = text

    def put(self, text: str) -> str:
        """The text, or what its name stands for."""
        return _NAME.sub(lambda found: self._known.get(found[1], found[0]), text)

    def show(self, text: str) -> str:
        """For people."""
        return f"{text} ({self.put(text)})" if "$" in text else repr(text)


def value_faults(wanted: Value, got: Value, reader: str, languages: Collection[str]) -> Iterator[str]:
    """How a value differs from what must arrive at a reader after its way through some languages."""
    expected, seen = values.expected(wanted, reader, languages), values.seen(got)
    if not values.equal(expected, seen):
        yield f"value: expected {values.show(expected)}, seen {values.show(seen)}"


def answer_faults(expect: schema.Expect, answer: Answer, peer: str, others: Collection[str], names: Names) -> list[str]:
    """How an answer differs from what a command must give."""
    wanted, what = expect.WhichOneof("what"), answer.WhichOneof("what")
    if wanted == "error" and what == "failure":
        allowed = [expect.error, *([expect.or_error] if expect.HasField("or_error") else [])]
        return min((list(_failure_faults(failed, answer.failure)) for failed in allowed), key=len)
    if wanted == "cancelled" and what == "failure":
        ours = answer.failure.code == "CANCELLED" and not answer.failure.from_wire
        own_way = answer.failure.cancelled if peer == "python" else ours
        return [] if own_way else [f"expected to be cancelled, seen {_show(answer)}"]
    if wanted == "value" and what == "value":
        faults = [list(value_faults(expect.value, answer.value, peer, way)) for way in ((), others)]
        return min(faults, key=len)
    if wanted == "receipt" and what == "receipt":
        return list(_receipt_faults(expect.receipt, answer.receipt, names))
    if wanted in (None, "done") and what in ("done", "receipt", "opened"):
        return []
    if wanted is None and what == "value":
        return list(value_faults(Value(nil=True), answer.value, peer, ()))
    return [f"expected {_show(expect) if wanted else 'success'}, seen {_show(answer)}"]


def _failure_faults(wanted: schema.Failed, seen: Failure) -> Iterator[str]:
    for name in ("code", "outcome", "retryable", "from_wire", "type"):
        if getattr(wanted, name) != getattr(seen, name):
            yield f"error {name}: expected {getattr(wanted, name)!r}, seen {getattr(seen, name)!r} ({_show(seen)})"
    if seen.code and seen.class_name != error_class(seen.code).__name__:
        yield f"error class: expected that of {seen.code}, seen {seen.class_name}"
    if wanted.HasField("message") and wanted.message != seen.message:
        yield f"error message: expected {wanted.message!r}, seen {seen.message!r}"
    if not (seen.message or wanted.HasField("message")) or wanted.says not in seen.message:
        yield f"error message: expected {wanted.says or 'one'!r} in it, seen {seen.message!r}"
    yield from _range_faults("retry_after_ms", wanted, seen)
    details = {item.key: values.tree(item) for item in seen.details.items}
    for item in wanted.details:
        if details.get(item.key) != values.tree(item):
            yield f"error detail {item.key!r}: expected {values.tree(item)}, seen {details.get(item.key)}"


def _receipt_faults(wanted: Any, seen: Any, names: Names) -> Iterator[str]:
    if not _UUID7(seen.id):
        yield f"receipt: {seen.id!r} is no UUIDv7 text"
    for name in ("id", "correlation_id"):
        expected = getattr(wanted, name)
        if expected and not names.same(expected, getattr(seen, name)):
            yield f"receipt {name}: expected {names.show(expected)}, seen {getattr(seen, name)!r}"


def _range_faults(name: str, wanted: Any, seen: Any) -> Iterator[str]:
    number = getattr(seen, name) if seen.HasField(name) else None
    if not wanted.HasField(name):
        if number is not None:
            yield f"{name}: expected none, seen {number}"
    elif number is None or not getattr(wanted, name).least <= number <= getattr(wanted, name).most:
        yield f"{name}: expected {_show(getattr(wanted, name))}, seen {number}"


def delivery_faults(wanted: schema.Got, seen: Delivered, peer: str, others: Collection[str], names: Names) -> list[str]:
    """How a delivery differs; only what is said is compared."""
    faults: list[str] = []
    expected = list(wanted.values) or ([wanted.value] if wanted.HasField("value") else [])
    if expected and len(expected) != len(seen.values):
        faults.append(f"expected {len(expected)} values, seen {len(seen.values)}")
    elif expected:
        for one, other in zip(expected, seen.values, strict=True):
            faults += min((list(value_faults(one, other, peer, way)) for way in ((), others)), key=len)
    faults += _field_faults(wanted, seen.facts, names)
    if wanted.HasField("remaining_ms"):
        faults += _range_faults("remaining_ms", wanted, seen.facts)
    return faults


def letter_faults(wanted: schema.Letter, seen: Envelope, names: Names) -> list[str]:
    """How an envelope differs; only what is said is compared."""
    faults = list(_field_faults(wanted, seen, names))
    if wanted.HasField("error"):
        if not seen.HasField("error"):
            faults.append(f"expected an error, seen {_show(seen)}")
        faults += _field_faults(wanted.error, seen.error, names)
    if wanted.no_error and seen.HasField("error"):
        faults.append(f"expected no error, seen {_show(seen.error)}")
    return faults


def _field_faults(wanted: Any, seen: Any, names: Names) -> Iterator[str]:
    for field, expected in wanted.ListFields():
        name = field.name
        if name == "headers":
            if dict(expected.all) != dict(seen.headers):
                yield f"headers: expected {dict(expected.all)}, seen {dict(seen.headers)}"
        elif field.has_presence and field.message_type is None:
            actual = getattr(seen, name)
            actual = actual.hex() if isinstance(actual, bytes) else actual
            same = names.same(expected, actual) if isinstance(expected, str) else expected == actual
            if not same:
                yield f"{name}: expected {names.show(str(expected))}, seen {actual!r}"


def _show(message: Any) -> str:
    return " ".join(str(message).split())[:600]
