"""Comparing what was seen with what a case expects."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Delivered, Ended
from tests.conformance._contract.value_pb2 import Value
from tests.conformance.runner import values
from tieline._contract.envelope_pb2 import Envelope

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


def range_faults(name: str, wanted: Any, seen: Any) -> Iterator[str]:
    number = getattr(seen, name) if seen.HasField(name) else None
    if not wanted.HasField(name):
        if number is not None:
            yield f"{name}: expected none, seen {number}"
    elif number is None or not getattr(wanted, name).least <= number <= getattr(wanted, name).most:
        yield f"{name}: expected {show_message(getattr(wanted, name))}, seen {number}"


def got_faults(
    wanted: schema.Deliveries, arrived: Sequence[tuple[Delivered, str]], others: Collection[str], names: Names
) -> list[str]:
    """How deliveries differ, each given with the language it arrived in; in their order, or in any."""
    left, faults = list(arrived), list[str]()
    for got in wanted.got:
        tries = left if wanted.any_order else left[:1]
        found = [delivery_faults(got, item, language, others, names) for item, language in tries]
        best = min(range(len(found)), key=lambda at: len(found[at]))
        faults += found[best]
        left.pop(best)
    return faults


def favour_faults(wanted: schema.Deliveries, arrived: Sequence[Delivered]) -> Iterator[str]:
    """Which priorities came too seldom, or too often, among the first."""
    for each in wanted.favoured:
        count = sum(one.facts.priority == each.priority for one in arrived[: each.first])
        if not each.least <= count <= (each.most or each.first):
            yield f"priority {each.priority}: {count} of the first {each.first}, expected {show_message(each)}"


def ending_faults(wanted: schema.Endings, seen: Sequence[Ended]) -> list[str]:
    """How the ends of handlers differ."""
    ways, counts = [ended.how for ended in seen], [ended.items for ended in seen]
    if sorted(ways) != sorted(wanted.how):
        return [f"expected endings {wanted.how}, seen {ways}"]
    least, most = wanted.items.least, wanted.items.most
    outside = wanted.HasField("items") and not all(least <= count <= most for count in counts)
    return [f"expected {least:.0f} to {most:.0f} items of each handler, seen {counts}"] if outside else []


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
        faults += range_faults("remaining_ms", wanted, seen.facts)
    return faults


def letter_faults(wanted: schema.Letter, seen: Envelope, names: Names) -> list[str]:
    """How an envelope differs; only what is said is compared."""
    faults = list(_field_faults(wanted, seen, names))
    if wanted.HasField("error"):
        if not seen.HasField("error"):
            faults.append(f"expected an error, seen {show_message(seen)}")
        faults += _field_faults(wanted.error, seen.error, names)
    if wanted.HasField("stream"):
        if not seen.HasField("stream"):
            faults.append(f"expected a position in a stream, seen {show_message(seen)}")
        faults += _field_faults(wanted.stream, seen.stream, names)
    if wanted.no_stream and seen.HasField("stream"):
        faults.append(f"expected no stream, seen {show_message(seen.stream)}")
    if wanted.no_error and seen.HasField("error"):
        faults.append(f"expected no error, seen {show_message(seen.error)}")
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


def show_message(message: Any) -> str:
    """For people."""
    return " ".join(str(message).split())[:600]


def show(items: list[Any]) -> str:
    """How many, and what they are; for people."""
    text = f"{len(items)}: " + " | ".join(" ".join(str(item).split()) for item in items)
    return text if len(text) < 1_500 else f"{text[:1_500]} …"


def time_faults(expect: schema.Expect, seconds: float) -> Iterator[str]:
    """Whether it took too long, or not long enough."""
    if expect.HasField("within_ms") and seconds * 1_000 > expect.within_ms:
        yield f"expected within {expect.within_ms} ms, took {seconds * 1_000:.0f}"
    if expect.HasField("not_before_ms") and seconds * 1_000 < expect.not_before_ms:
        yield f"expected not before {expect.not_before_ms} ms, took {seconds * 1_000:.0f}"
