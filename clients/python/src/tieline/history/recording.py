"""What is written into history of what happened: rows for entries of the tape. Pure. Rules: SPEC.md, section 17."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tieline import topics
from tieline._contract import contract
from tieline._contract.durable_pb2 import DeadLetter
from tieline._contract.envelope_pb2 import Envelope
from tieline.history.store import RecordedEvent, position_of, shortened
from tieline.history.tape import Kind, TapeEntry

_SILENT = "system."
_REASONS = {"expired": "it expired", "rejected": "it was rejected", "failed": "it failed"}


def rows_of(entries: Iterable[TapeEntry], patterns: Sequence[str], now: int) -> list[RecordedEvent]:
    """Rows for what is to be recorded: topics that one of the patterns covers, and no events that are replayed.

    A row says `pending` while the event waits to be handled, `processed` if it was live, `failed` for a dead letter.
    """
    rows, last, at = list[RecordedEvent](), "", 0
    for entry in entries:
        last, at = entry.id, at + 1 if entry.id == last else 0
        if _recorded(entry, patterns):
            rows.append(_row(entry, at, now))
    return rows


def _recorded(entry: TapeEntry, patterns: Sequence[str]) -> bool:
    topic = entry.envelope.topic
    return not entry.envelope.replay and any(topics.matches(pattern, topic) for pattern in patterns)


def _row(entry: TapeEntry, at: int, now: int) -> RecordedEvent:
    envelope, position = entry.envelope, position_of(entry.id)
    stored_as = entry.entry or (entry.letter.entry if entry.letter is not None else "")
    event_id = envelope.id or _named(envelope, stored_as or f"{entry.id}:{at}")
    silent = envelope.topic.startswith(_SILENT)
    retries, message = _failure(entry.letter) if entry.kind is Kind.DEAD else (0, "")
    return RecordedEvent(
        id=event_id,
        type=envelope.topic,
        key=envelope.key,
        source=envelope.source,
        correlation_id=envelope.correlation_id or event_id,
        causation_id=envelope.causation_id,
        time=envelope.time,
        expires_at=envelope.expires_at,
        status=_STATUS[entry.kind],
        retry_count=retries,
        error_msg=message,
        content_type="" if silent else envelope.content_type,
        schema_version=envelope.schema_version,
        priority=envelope.priority or contract.PRIORITY_NORMAL,
        hops=envelope.hops,
        headers=dict(envelope.headers),
        data=b"" if silent else envelope.data,
        stream=entry.stream,
        entry=stored_as,
        recorded_at=now,
        position=position,
        revision=position if entry.kind in _CHANGES else 0,
    )


def _named(envelope: Envelope, place: str) -> str:
    """An id for an event without one, the same whenever it is read: after where it was stored, or is on the tape."""
    lane = envelope.key or str(envelope.priority or contract.PRIORITY_NORMAL)
    return f"{envelope.topic}:{lane}:{place}"


def _failure(letter: DeadLetter | None) -> tuple[int, str]:
    """How often it was tried again, and why it is a dead letter."""
    if letter is None:
        return 0, ""
    error = letter.error
    why = ": ".join(filter(None, (error.type, error.message)))
    return max(0, letter.attempts - 1), shortened(why or _REASONS.get(letter.reason, letter.reason))


_STATUS = {
    Kind.LIVE: "processed",
    Kind.STORED: "pending",
    Kind.AGAIN: "pending",
    Kind.UNPARKED: "pending",
    Kind.DEAD: "failed",
}
_CHANGES = (Kind.AGAIN, Kind.UNPARKED, Kind.DEAD)
