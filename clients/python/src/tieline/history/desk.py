"""What a recorder tells of history to whoever asks: the handlers of `system.history.*` (SPEC.md, section 17)."""

from __future__ import annotations

import builtins
import functools
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from tieline import codec
from tieline._contract import contract
from tieline.clock import Clock
from tieline.context import Event
from tieline.errors import HandlerError, InvalidArgumentError, NotFoundError, Outcome, TielineError
from tieline.history.questions import check_ids, check_limit, check_page, check_selection, read_cursor
from tieline.history.recorder import Recorder
from tieline.history.redelivery import Replayer, read_order
from tieline.history.store import EventStore, Order, RecordedEvent, Selection, cursor_of

_JSON = "application/json"
_PART_BYTES = 524_288
"""Of events in one answer, about; a payload that is larger is asked for in parts."""

_AT_ONCE = 64
_REMEMBERED = 16
_REMEMBERED_SECONDS = 5.0
_HIDDEN = ("position", "revision", "data")

Question = dict[str, Any] | None


class _Remembered(NamedTuple):
    row: RecordedEvent
    until: float


class HistoryDesk:
    """Answers for one recorder.

    Args:
        recorder: whose history it is.
        replayer: delivers events again.
        clock: tells the broker's clock.

    """

    def __init__(self, recorder: Recorder, replayer: Replayer, clock: Callable[[], Clock]) -> None:
        self._recorder = recorder
        self._store: EventStore = recorder.store
        self._replayer = replayer
        self._clock = clock
        self._known: OrderedDict[str, _Remembered] = OrderedDict()

    @property
    def handlers(self) -> dict[str, Callable[..., Any]]:
        """The function for each topic."""
        answered = (self.list, self.get, self.data, self.delete, self.figures)
        told = {f"{contract.HISTORY_TOPIC}.{each.__name__}": _told(each) for each in answered}
        return told | {f"{contract.HISTORY_TOPIC}.replay": self.replay}

    async def list(self, question: Question, event: Event) -> dict[str, Any]:
        """A page of events."""
        asked = _Asked(question, "types", "start", "end", "status", "source", "page", "cursor", "limit", "oldest_first")
        selection, limit, page = asked.selection(), check_limit(asked["limit"]), check_page(asked["page"])
        order = Order.OLDEST if asked["oldest_first"] else Order.NEWEST
        cursor = asked["cursor"] or ""
        if cursor and page:
            raise InvalidArgumentError("give a page or a cursor, not both")
        if cursor:
            read_cursor(cursor)
        skip = (page - 1) * limit if page else 0
        found = await self._read(selection, order, cursor, skip, limit + 1)
        total = await self._store.count(selection) if page else None
        room, told = _PART_BYTES, []
        for row in found[:limit]:
            one, size = _as_told(row, event)
            room -= size
            if told and room < 0:
                break
            told.append(one)
        more = len(found) > len(told)
        return {"events": told, "cursor": cursor_of(found[len(told) - 1], order) if more else "", "total": total}

    async def get(self, question: Question, event: Event) -> dict[str, Any]:
        """One event."""
        (event_id,) = check_ids(_Asked(question, "id")["id"])
        row = await self._find(event_id)
        if row is None:
            raise _unknown(event_id)
        return {"event": _as_told(row, event)[0]}

    async def data(self, question: Question, event: Event) -> dict[str, Any]:
        """A part of a large payload."""
        asked = _Asked(question, "id", "offset")
        (event_id,), offset = check_ids(asked["id"]), asked["offset"] or 0
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise InvalidArgumentError(f"offset is a number of bytes, not {offset!r:.80}")
        row = await self._find(event_id)
        if row is None:
            raise _unknown(event_id)
        return {"data": row.data[offset : offset + _PART_BYTES]}

    async def delete(self, question: Question, event: Event) -> dict[str, Any]:
        """Delete events by their ids, or all that are selected."""
        asked = _Asked(question, "ids", "types", "start", "end", "status", "source")
        selection = asked.selection()
        if (asked["ids"] is None) == (selection == Selection()):
            raise InvalidArgumentError("say what is to be deleted: ids, or types, start, end, status or source")
        self._known.clear()
        if asked["ids"] is None:
            return {"deleted": await self._store.delete_selected(selection)}
        return {"deleted": await self._store.delete(check_ids(asked["ids"]))}

    async def figures(self, question: Question, event: Event) -> dict[str, Any]:
        """How this recorder is doing, and what the store holds."""
        _Asked(question)
        recorder = (await self._recorder.figures())._asdict()
        try:
            store = (await self._store.figures())._asdict()
        except TielineError as error:
            store, recorder["trouble"] = None, recorder["trouble"] or str(error)
        return {"recorder": recorder, "store": store}

    async def replay(self, question: Question, event: Event) -> AsyncGenerator[dict[str, Any], None]:
        """Deliver events again, and tell how far that is."""
        try:
            asked = _Asked(question, "types", "start", "end", "status", "source", "to_group", "to_topic", "speed")
            order = read_order(asked.selection(), asked["to_group"], asked["to_topic"], asked["speed"])
            async for progress in self._replayer.run(order):
                yield progress._asdict()
        except TielineError as error:
            raise _answer(error) from None

    async def _read(
        self, selection: Selection, order: Order, cursor: str, skip: int, most: int
    ) -> builtins.list[RecordedEvent]:
        """So many events, or as many as fit into an answer, and some more: a few at a time, for each may be large."""
        found: builtins.list[RecordedEvent] = []
        size = 0
        while len(found) < most and size <= _PART_BYTES:
            wanted = min(_AT_ONCE, most - len(found))
            some = await self._store.select(selection, order, after=cursor, skip=skip, limit=wanted)
            found += some
            if len(some) < wanted:
                break
            size += sum(row.size for row in some)
            cursor, skip = cursor_of(some[-1], order), 0
        return found

    async def _find(self, event_id: str) -> RecordedEvent | None:
        """An event, from memory if it was asked for a moment ago and will not change."""
        now = self._clock().monotonic()
        known = self._known.get(event_id)
        if known is not None and known.until > now:
            self._known.move_to_end(event_id)
            return known.row
        row = await self._store.get(event_id)
        if row is not None and row.status == "processed":
            self._known[event_id] = _Remembered(row, now + _REMEMBERED_SECONDS)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return row


class _Asked:
    """A question, which may have these fields."""

    def __init__(self, question: Question, *names: str) -> None:
        given: Any = {} if question is None else question
        if not isinstance(given, Mapping):
            raise InvalidArgumentError(f"history is asked with a map, not with {type(given).__name__}")
        self._given: Mapping[str, Any] = given  # pyright: ignore[reportUnknownMemberType]
        unknown = [str(name) for name in self._given if name not in names]
        if unknown:
            known = ", ".join(names) or "nothing"
            raise InvalidArgumentError(f"history does not know {', '.join(sorted(unknown))!s:.80}; it knows {known}")

    def __getitem__(self, name: str) -> Any:
        return self._given.get(name)

    def selection(self) -> Selection:
        """Which events are meant."""
        return check_selection(*(self[name] for name in Selection._fields))


def _as_told(row: RecordedEvent, asked: Event) -> tuple[dict[str, Any], int]:
    """An event as others see it, and its size.

    For who asks in JSON the payload is a value: none if JSON has no such value, or it is too large. Elsewhere it is the
    bytes that travelled: none if they are to be asked for in parts.
    """
    told: dict[str, Any] = {name: value for name, value in row._asdict().items() if name not in _HIDDEN}
    told["bytes"] = len(row.data)
    if asked.envelope.content_type != _JSON:
        return told | {"data": row.data if len(row.data) <= _PART_BYTES else b""}, row.size
    value, size = _in_json(row)
    return told | {"data": value}, row.size - len(row.data) + size


def _in_json(row: RecordedEvent) -> tuple[Any, int]:
    """The payload as a value, and how many bytes that takes in JSON."""
    try:
        value = codec.decode(row.data, row.content_type) if row.data else None
        size = len(codec.encode(value, _JSON))
    except TielineError:
        return None, 0
    return (value, size) if size <= _PART_BYTES else (None, 0)


def _told(answer: Callable[[Question, Event], Awaitable[dict[str, Any]]]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A handler whose errors are answers like others."""

    @functools.wraps(answer)
    async def handler(data: Any, event: Event) -> dict[str, Any]:
        try:
            return await answer(data, event)
        except TielineError as error:
            raise _answer(error) from None

    handler.__annotations__ = {}
    return handler


def _answer(error: TielineError) -> HandlerError:
    details = {**error.details, "code": error.code}
    return HandlerError(error.message, details=details, outcome=Outcome.RAN, type=type(error).__name__)


def _unknown(event_id: str) -> NotFoundError:
    return NotFoundError(
        f"history has no event {event_id!r:.80}: it was not recorded, or retention or somebody has removed it; "
        "what was published a moment ago may still wait, as history.figures() tells"
    )
