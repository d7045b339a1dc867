"""What history tells: events, pages, figures (SPEC.md, section 17)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from tieline import codec
from tieline.history.recorder import RecorderFigures


class HistoryEvent(NamedTuple):
    """One event of history.

    Attributes:
        id: identity of the event.
        type: its topic.
        time, expires_at: when it was published, and when it expires; None for never.
        status: "pending" (stored, and not handled by every group), "processed" or "failed" (a dead letter).
        retry_count: how often its handling was tried again before it failed.
        error_msg: why it failed.
        payload: as it travelled; `data` decodes it. Empty of what the system publishes.
        stream, entry: where the broker stored it; empty for live events.
        recorded_at: when it was written down.

    """

    id: str
    type: str
    key: str
    source: str
    correlation_id: str
    causation_id: str
    time: datetime
    expires_at: datetime | None
    status: str
    retry_count: int
    error_msg: str
    content_type: str
    schema_version: str
    priority: int
    hops: int
    headers: dict[str, str]
    payload: bytes
    stream: str
    entry: str
    recorded_at: datetime

    @property
    def data(self) -> Any:
        """The payload, decoded.

        Raises:
            InvalidPayloadError: it cannot be read.

        """
        return codec.decode(self.payload, self.content_type) if self.payload else None


class HistoryPage(NamedTuple):
    """Some events, a cursor for those that come after them ("" if none do), and with `page=` how many there are."""

    events: list[HistoryEvent]
    cursor: str
    total: int | None


class HistoryFigures(NamedTuple):
    """How history is doing.

    Attributes:
        events, bytes: what the store holds; bytes are about.
        oldest, newest: moments of its first and its last event.
        waiting, lag, lost: see `RecorderFigures`.
        recorders: each that answered, by its instance.

    """

    events: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    waiting: int
    lag: float
    lost: int
    recorders: dict[str, RecorderFigures]


def event_of(told: dict[str, Any], payload: bytes) -> HistoryEvent:
    """An event as a recorder told it, with all of its payload."""
    expires = told["expires_at"]
    event: dict[str, Any] = {name: told[name] for name in HistoryEvent._fields if name in told}
    event["payload"], event["time"] = payload, moment(told["time"])
    event["recorded_at"], event["expires_at"] = moment(told["recorded_at"]), moment(expires) if expires else None
    return HistoryEvent(**event)


def figures_of(told: dict[str, Any]) -> HistoryFigures:
    """What the recorders told, by their instances."""
    recorders = {instance: RecorderFigures(**each["recorder"]) for instance, each in told.items()}
    store = next((each["store"] for each in told.values() if each["store"]), None)
    one = max(recorders.values(), key=lambda each: each.lost)
    tape = (one.waiting, one.lag, one.lost)
    if store is None:
        return HistoryFigures(0, 0, None, None, *tape, recorders)
    oldest, newest = (moment(store[name]) if store["rows"] else None for name in ("oldest", "newest"))
    return HistoryFigures(store["rows"], store["bytes"], oldest, newest, *tape, recorders)


def moment(milliseconds: int) -> datetime:
    """A moment in milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
