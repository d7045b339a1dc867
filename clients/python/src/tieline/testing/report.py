"""What a failed assertion says: what was expected, and what there was instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tieline.testing.recorder import Recorded

_MOST_LINES = 10
_MOST_TEXT = 500
_VERBS = {"event": "published", "request": "requested"}


class Wanted(NamedTuple):
    """What was expected; `times` None is at least once."""

    kind: str
    topic: str
    data: str
    times: int | None
    headers: Mapping[str, str] | None

    def __str__(self) -> str:
        text = f" with {self.data}" if self.data else ""
        return text + (f" and headers {dict(self.headers)!r}" if self.headers else "")


def unmet(wanted: Wanted, count: int, there: Sequence[Recorded], records: Sequence[Recorded]) -> str:
    """An event or request did not come as often as it should."""
    verb = _VERBS[wanted.kind]
    expected = "" if wanted.times is None else f", expected {_times(wanted.times)}"
    if not there:
        return f"{wanted.topic!r} was never {verb}{expected}.\n{_everything(records)}"
    how = f"{verb} {_times(count)}" if count else f"never {verb}"
    first = f"{wanted.topic!r} was {how}{wanted}{expected}."
    return f"{first} It was {verb} {_times(len(there))}:\n{_lines(there)}"


def waited(topic: str, times: int, seconds: float, records: Sequence[Recorded]) -> str:
    """Something was waited for in vain."""
    often = "" if times == 1 else f" {_times(times)}"
    return f"{topic!r} was not published or requested{often} within {seconds:g} s.\n{_everything(records)}"


def disordered(expected: Sequence[str], number: int, records: Sequence[Recorded]) -> str:
    """A sequence of topics was not found."""
    before = f" after {', '.join(map(repr, expected[:number]))}" if number else ""
    return f"{expected[number]!r} did not come{before}. In order there was:\n{_lines(records)}"


def shown(value: Any) -> str:
    """A value in a message; of a function its name."""
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text)} characters)"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _lines(records: Sequence[Recorded]) -> str:
    lines = [f"  {number}. {_line(record)}" for number, record in enumerate(records[:_MOST_LINES], 1)]
    if len(records) > _MOST_LINES:
        lines.append(f"  … and {len(records) - _MOST_LINES} more")
    return "\n".join(lines) or "  nothing"


def _line(record: Recorded) -> str:
    headers = f" headers {record.headers!r}" if record.headers else ""
    return f"{_VERBS[record.kind]} {record.topic!r} with {shown(record.data)}{headers}"


def _everything(records: Sequence[Recorded]) -> str:
    if not records:
        return "Nothing was published or requested at all."
    counts = Counter((_VERBS[record.kind], record.topic) for record in records)
    return "There was: " + ", ".join(f"{topic!r} {verb} {_times(n)}" for (verb, topic), n in counts.items()) + "."
