"""What an event looks like when it is sent: body and headers, signed by Standard Webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tieline import codec
from tieline.context import Event
from tieline_gateway.webhooks import standard

_AGENT = "tieline"


class Message(NamedTuple):
    """One event, ready to be signed."""

    id: str
    headers: dict[str, str]
    body: bytes

    def signed(self, secrets: Sequence[bytes], now: float) -> dict[str, str]:
        """All headers of a try that is made now (seconds since 1970)."""
        timestamp = int(now)
        return {
            **self.headers,
            standard.ID: self.id,
            standard.TIMESTAMP: str(timestamp),
            standard.SIGNATURE: standard.sign(secrets, self.id, timestamp, self.body),
        }


class _Body(msgspec.Struct, omit_defaults=True):
    """The structure that Standard Webhooks recommends, and what else is known of the event."""

    type: str
    timestamp: str
    data: msgspec.Raw
    id: str
    source: str
    correlation_id: str
    key: str = ""
    schema_version: str = ""


def message(event: Event, *, alone: bool) -> Message:
    """Make the message of an event; it is the same for each try.

    Args:
        event: as it was stored.
        alone: the body is the payload, and headers say the rest, unsigned.

    Raises:
        InvalidPayloadError: the payload cannot be read, or not be said in JSON.

    """
    payload = _json(event)
    headers = {"content-type": "application/json", "user-agent": _AGENT}
    name = _quoted(f"{event.id}-{event.replay}" if event.replay else event.id)
    if alone:
        return Message(name, {**headers, **_attributes(event)}, payload)
    told = _Body(
        event.topic,
        _moment(event.time),
        msgspec.Raw(payload),
        event.id,
        event.source,
        event.correlation_id,
        event.key,
        event.schema_version,
    )
    return Message(name, headers, msgspec.json.encode(told))


def _json(event: Event) -> bytes:
    """The payload as JSON: as it came if it was."""
    data: Any = event.data
    if event.envelope.content_type == codec.JSON:
        return event.envelope.data or b"null"
    return codec.encode(data, codec.JSON)


def _attributes(event: Event) -> dict[str, str]:
    """What CloudEvents knows of it, in binary mode."""
    told = {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": event.source,
        "ce-type": event.topic,
        "ce-time": _moment(event.time),
    }
    return {
        name: _quoted(value) for name, value in {**told, **({"ce-subject": event.key} if event.key else {})}.items()
    }


def _quoted(value: str) -> str:
    """Percent-encoded where HTTP, or the CloudEvents binding to it, wants that."""
    return "".join(c if "!" <= c <= "~" and c not in '"%' else _percent(c) for c in value)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
