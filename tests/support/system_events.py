"""Whether a payload is what contract.toml says of its system event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tieline._contract.system_events import SYSTEM_EVENTS

_TYPES = {"text": str, "integer": int, "number": (int, float), "time": datetime}


def assert_as_agreed(topic: str, payload: dict[str, Any]) -> None:
    """The payload has the fields of its topic and kind, of their types, and no others."""
    fields = SYSTEM_EVENTS[topic, payload.get("kind", "")]
    needed = {name for name, kind in fields.items() if not kind.endswith("?")}
    given = set(payload) - {"kind"}
    assert needed <= given <= set(fields), (topic, payload)
    for name in given:
        assert isinstance(payload[name], _TYPES[fields[name].rstrip("?")]), (topic, name, payload)
