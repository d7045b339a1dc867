"""Comparing what a command gave with what a case expects."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import (
    Answer,
    Explanation,
    Failure,
    Figures,
    Gathered,
    Gave,
    Items,
    Job,
    Scheduled,
)
from tests.conformance._contract.value_pb2 import Value
from tests.conformance.runner import values
from tests.conformance.runner.checks import Names, range_faults, show_message, value_faults
from tests.conformance.runner.exposition import exposition_faults
from tests.conformance.runner.rows import replay_faults, rows_faults
from tieline.errors import error_class

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch

_DONE = ("done", "receipt", "receipts", "opened", "scheduled", "job", "recorded", "replayed")
_JOB_FIELDS = (
    "expression", "zone", "topic", "key", "call", "paused", "next", "runs", "status", "attempts", "error",
)  # fmt: skip


def answer_faults(expect: schema.Expect, answer: Answer, peer: str, others: Collection[str], names: Names) -> list[str]:
    """How an answer differs from what a command must give."""
    wanted, what = expect.WhichOneof("what"), answer.WhichOneof("what")
    if wanted == "error" and what == "failure":
        allowed = [expect.error, *([expect.or_error] if expect.HasField("or_error") else [])]
        return min((list(_failure_faults(failed, answer.failure)) for failed in allowed), key=len)
    if wanted == "cancelled" and what in ("failure", "items"):
        failure = answer.failure if what == "failure" else answer.items.failure
        own_way = failure.cancelled if peer == "python" else failure.code == "CANCELLED" and not failure.from_wire
        return [] if own_way else [f"expected to be cancelled, seen {show_message(answer)}"]
    if wanted == "value" and what == "value":
        return _value_faults(expect.value, answer.value, peer, others)
    if wanted == "items" and what == "items":
        return list(_items_faults(expect.items, answer.items, peer, others))
    if wanted == "gathered" and what == "gathered":
        return list(_gathered_faults(expect.gathered, answer.gathered, peer, others, names))
    if (wanted, what) in (
        ("explained", "explanation"),
        ("figures", "figures"),
        ("scheduled", "scheduled"),
        ("job", "job"),
        ("rows", "recorded"),
        ("replayed", "replayed"),
    ):
        return list(_inside_faults(expect, answer, peer, others, names))
    if wanted in ("receipt", "receipts") and what == wanted:
        return list(_all_receipts_faults(_receipts(expect), _receipts(answer), names))
    if wanted in (None, "done") and what in _DONE:
        return []
    if wanted is None and what == "value":
        return list(value_faults(Value(nil=True), answer.value, peer, ()))
    return [f"expected {show_message(expect) if wanted else 'success'}, seen {show_message(answer)}"]


def _failure_faults(wanted: schema.Failed, seen: Failure) -> Iterator[str]:
    for name in ("code", "outcome", "retryable", "from_wire", "type"):
        if getattr(wanted, name) != getattr(seen, name):
            expected, actual = getattr(wanted, name), getattr(seen, name)
            yield f"error {name}: expected {expected!r}, seen {actual!r} ({show_message(seen)})"
    if seen.code and seen.class_name != error_class(seen.code).__name__:
        yield f"error class: expected that of {seen.code}, seen {seen.class_name}"
    if wanted.HasField("message") and wanted.message != seen.message:
        yield f"error message: expected {wanted.message!r}, seen {seen.message!r}"
    if not (seen.message or wanted.HasField("message")) or wanted.says not in seen.message:
        yield f"error message: expected {wanted.says or 'one'!r} in it, seen {seen.message!r}"
    yield from range_faults("retry_after_ms", wanted, seen)
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
    if wanted.HasField("stored") != seen.HasField("stored"):
        yield f"receipt: expected {'it stored' if wanted.HasField('stored') else 'nothing stored'}, seen {seen}"
    elif wanted.HasField("stored"):
        yield from _stored_faults(wanted.stored, seen.stored, names)
    for name in ("planned", "overdue"):
        if getattr(wanted, name) != getattr(seen, name):
            yield f"receipt {name}: expected {getattr(wanted, name)}, seen {getattr(seen, name)}"


def _schedule_faults(
    wanted: Scheduled, seen: Scheduled, peer: str, others: Collection[str], names: Names
) -> Iterator[str]:
    if not names.same(wanted.id, seen.id):
        yield f"schedule id: expected {names.show(wanted.id)}, seen {seen.id!r}"
    for name in ("status", "topic", "key", "durable", "attempts", "error", "ended"):
        if getattr(wanted, name) != getattr(seen, name):
            yield f"schedule {name}: expected {getattr(wanted, name)!r}, seen {getattr(seen, name)!r}"
    if (wanted.priority or 5) != seen.priority:
        yield f"schedule priority: expected {wanted.priority or 5}, seen {seen.priority}"
    if wanted.HasField("data"):
        yield from _value_faults(wanted.data, seen.data, peer, others)


def _job_faults(wanted: Job, seen: Job, peer: str, others: Collection[str], names: Names) -> Iterator[str]:
    if wanted.id or seen.id:
        if not names.same(wanted.id, seen.id):
            yield f"run: expected {names.show(wanted.id)}, seen {seen.id!r}"
        return
    for field in _JOB_FIELDS:
        if getattr(wanted, field) != getattr(seen, field):
            yield f"job {field}: expected {getattr(wanted, field)!r}, seen {getattr(seen, field)!r}"
    for field in ("data", "reply"):
        yield from _value_faults(getattr(wanted, field), getattr(seen, field), peer, others)


def _receipts(told: Any) -> Sequence[Any]:
    return told.receipts.receipts if told.WhichOneof("what") == "receipts" else [told.receipt]


def _all_receipts_faults(wanted: Sequence[Any], seen: Sequence[Any], names: Names) -> Iterator[str]:
    if len(wanted) != len(seen):
        yield f"expected {len(wanted)} receipts, seen {len(seen)}"
    if len({one.id for one in seen}) < len(seen):
        yield f"receipts: two events have one id: {[one.id for one in seen]}"
    for one, other in zip(wanted, seen, strict=False):
        yield from _receipt_faults(one, other, names)


def _stored_faults(wanted: Any, seen: Any, names: Names) -> Iterator[str]:
    if not (seen.stream and seen.entry):
        yield f"receipt: it does not say where it was stored: {show_message(seen)}"
    for name in ("stream", "entry"):
        expected = getattr(wanted, name)
        if expected and not names.same(expected, getattr(seen, name)):
            yield f"receipt {name}: expected {names.show(expected)}, seen {getattr(seen, name)!r}"
    if wanted.duplicate != seen.duplicate:
        yield f"receipt duplicate: expected {wanted.duplicate}, seen {seen.duplicate}"


def _value_faults(wanted: Value, seen: Value, peer: str, others: Collection[str]) -> list[str]:
    """Whichever way it came: from the reader's own language, or through both."""
    return min((list(value_faults(wanted, seen, peer, way)) for way in ((), others)), key=len)


def _items_faults(wanted: schema.ItemsRead, seen: Items, peer: str, others: Collection[str]) -> Iterator[str]:
    numbers = range(wanted.since or 1, wanted.upto + 1)
    expected = [Value(int=str(number)) for number in numbers] if wanted.upto else list(wanted.values)
    if len(expected) != len(seen.values):
        yield f"expected {len(expected)} items, seen {len(seen.values)}: {show_message(seen)}"
    for at, (one, other) in enumerate(zip(expected, seen.values, strict=False), 1):
        yield from (f"item {at}: {fault}" for fault in _value_faults(one, other, peer, others))
    if wanted.HasField("error") and seen.HasField("failure"):
        yield from _failure_faults(wanted.error, seen.failure)
    elif wanted.HasField("error") or seen.HasField("failure"):
        yield f"expected {show_message(wanted.error) or 'no error'}, seen {show_message(seen.failure) or 'no error'}"
    if wanted.ended != seen.ended:
        yield "expected that it ends here" if wanted.ended else "expected that it goes on, and it has ended"


def _gathered_faults(
    wanted: schema.EverybodySaid, seen: Gathered, peer: str, others: Collection[str], names: Names
) -> Iterator[str]:
    for part in ("replies", "errors", "missing"):
        expected: Sequence[schema.Said] = getattr(wanted, part)
        left: list[Gave] = list(getattr(seen, part))
        if len(expected) != len(left):
            yield f"{part}: expected {len(expected)}, seen {len(left)}: {show_message(seen)}"
            continue
        for said in expected:
            found = [list(_said_faults(said, gave, peer, others, names)) for gave in left]
            best = min(range(len(found)), key=lambda at: len(found[at]))
            yield from (f"{part}: {fault}" for fault in found[best])
            left.pop(best)


def _said_faults(wanted: schema.Said, seen: Gave, peer: str, others: Collection[str], names: Names) -> Iterator[str]:
    if wanted.group != seen.group:
        yield f"group: expected {wanted.group!r}, seen {seen.group!r}"
    for name in ("service", "instance"):
        if wanted.HasField(name) and not names.same(getattr(wanted, name), getattr(seen, name)):
            yield f"{name}: expected {names.show(getattr(wanted, name))}, seen {getattr(seen, name)!r}"
    if wanted.HasField("value"):
        yield from _value_faults(wanted.value, seen.value, peer, others)
    if wanted.HasField("error"):
        yield from _failure_faults(wanted.error, seen.failure)


def _inside_faults(
    expect: schema.Expect, answer: Answer, peer: str, others: Collection[str], names: Names
) -> Iterator[str]:
    """What a system tells of itself, and of what is planned."""
    if expect.HasField("scheduled"):
        return _schedule_faults(expect.scheduled, answer.scheduled, peer, others, names)
    if expect.HasField("job"):
        return _job_faults(expect.job, answer.job, peer, others, names)
    if expect.HasField("rows"):
        return rows_faults(expect.rows, answer.recorded, (peer, others), names)
    if expect.HasField("replayed"):
        return replay_faults(expect.replayed, answer.replayed, names)
    if expect.HasField("figures"):
        return _figures_faults(expect.figures, answer.figures)
    return _steps_faults(expect.explained, answer.explanation, names)


def _steps_faults(wanted: schema.StepsTold, seen: Explanation, names: Names) -> Iterator[str]:
    """Those of each process in their order, with others between; clocks of two processes differ by a little."""
    if wanted.none and seen.steps:
        yield f"expected no steps, told was {show_message(seen)}"
    left = {told.source: iter([one for one in seen.steps if one.source == told.source]) for told in seen.steps}
    for step in wanted.steps:
        if not any(_is_step(step, told, names) for told in left.get(names.put(step.source), ())):
            told = "; ".join(f"{told.name} {told.source} {told.topic}" for told in seen.steps)
            silent = f"; {seen.missing} did not tell theirs" if seen.missing else ""
            yield f"expected the step {step.name} ({show_message(step)}), told was {told}{silent}"
            return


def _figures_faults(wanted: Figures, seen: Figures) -> Iterator[str]:
    """All series, and all of each."""
    told = {(one.kind, one.group): one for one in seen.series}
    expected = {(one.kind, one.group): one for one in wanted.series}
    for which in sorted(told.keys() | expected.keys()):
        if which not in told or which not in expected or told[which] != expected[which]:
            one, other = (show_message(of[which]) if which in of else "nothing" for of in (expected, told))
            yield f"figures of {which[0]} {which[1]!r}: expected {one}, seen {other}"
    yield from exposition_faults(seen)


def _is_step(wanted: schema.StepTold, seen: Any, names: Names) -> bool:
    details = {item.key: values.tree(item) for item in seen.detail.items}
    return (
        wanted.name == seen.name
        and (not wanted.HasField("topic") or wanted.topic == seen.topic)
        and all(details.get(item.key) == values.tree(item) for item in wanted.detail)
    )
