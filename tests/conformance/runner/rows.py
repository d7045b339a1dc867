"""Comparing what history and replays told with what a case expects."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import Recorded, Replayed, Row
from tests.conformance.runner.checks import Names, show_message, value_faults

CHANGES = ("history rows", "history status")
"""How faults begin that may be gone a moment later: an event is not recorded yet, or not handled."""

Way = tuple[str, Collection[str]]
"""Who reads, and the languages on the way."""


def rows_faults(wanted: schema.RowsTold, seen: Recorded, way: Way, names: Names) -> Iterator[str]:
    """How history differs; of rows only what is said is compared."""
    if len(wanted.rows) != len(seen.rows):
        yield f"history rows: expected {len(wanted.rows)}, seen {len(seen.rows)}: {show_message(seen)}"
        return
    left = list(seen.rows)
    for row in wanted.rows:
        found = [list(_row_faults(row, one, way, names)) for one in (left if wanted.any_order else left[:1])]
        best = min(range(len(found)), key=lambda at: len(found[at]))
        yield from found[best]
        left.pop(best)
    for name in ("total", "deleted"):
        if wanted.HasField(name) != seen.HasField(name) or getattr(wanted, name) != getattr(seen, name):
            yield f"{name}: expected {show_message(wanted)}, seen {show_message(seen)}"
    if not (names.same(wanted.cursor, seen.cursor) if wanted.cursor else not seen.cursor):
        yield f"cursor: expected {names.show(wanted.cursor)}, seen {seen.cursor!r}"
    if wanted.HasField("recorders") and wanted.recorders != seen.recorders:
        yield f"recorders: expected {show_message(wanted.recorders)}, seen {show_message(seen.recorders)}"


def replay_faults(wanted: Replayed, seen: Replayed, names: Names) -> Iterator[str]:
    """How the end of a replay differs."""
    if wanted.id and not names.same(wanted.id, seen.id):
        yield f"replay id: expected {names.show(wanted.id)}, seen {seen.id!r}"
    for name in ("sent", "skipped", "total", "done"):
        if getattr(wanted, name) != getattr(seen, name):
            yield f"replay {name}: expected {getattr(wanted, name)}, seen {getattr(seen, name)}"


def _row_faults(wanted: schema.RowTold, seen: Row, way: Way, names: Names) -> Iterator[str]:
    for field, expected in wanted.ListFields():
        name, actual = field.name, getattr(seen, field.name)
        if name == "data":
            peer, others = way
            yield from min((list(value_faults(expected, actual, peer, each)) for each in ((), others)), key=len)
        elif name == "headers":
            if dict(expected.all) != dict(actual):
                yield f"history headers: expected {dict(expected.all)}, seen {dict(actual)}"
        elif name == "error":
            if expected not in actual:
                yield f"history error: expected {expected!r} in it, seen {actual!r}"
        elif not (names.same(expected, actual) if isinstance(expected, str) else expected == actual):
            yield f"history {name}: expected {names.show(str(expected))}, seen {actual!r}"
