"""What can be set for one event system. Times are in seconds; the defaults are those of `proto/contract.toml`."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tieline._contract import contract
from tieline.errors import InvalidArgumentError

_MAY_BE_NOTHING = frozenset(
    {
        "queue",
        "explain_calls",
        "offline_buffer",
        "drain",
        "retry_after",
        "responders_grace",
        "accept_after",
        "probe_after",
        "reconnect_min",
        "reconnect_max",
        "redispatch",
    }
)
_TTLS = frozenset({"call_ttl", "event_ttl"})
_LONGEST_TTL = contract.LIMIT_CALL_TTL_MAX_MS / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Bounds and times of one event system (seconds, bytes, counts), and whether it publishes `system_events`."""

    call_ttl: float = contract.DEFAULT_CALL_TTL_MS / 1000
    event_ttl: float = contract.DEFAULT_EVENT_TTL_MS / 1000
    concurrency: int = contract.DEFAULT_CONCURRENCY
    queue: int = contract.DEFAULT_QUEUE
    pending_calls: int = contract.LIMIT_PENDING_CALLS
    attempts: int = contract.DEFAULT_ATTEMPTS
    lease: float = contract.DEFAULT_LEASE_MS / 1000
    lease_refresh: float = contract.DEFAULT_LEASE_REFRESH_MS / 1000
    accept_after: float = contract.DEFAULT_ACCEPT_AFTER_MS / 1000
    probe_after: float = contract.DEFAULT_PROBE_AFTER_MS / 1000
    probe_interval: float = contract.DEFAULT_PROBE_INTERVAL_MS / 1000
    probe_confirm: float = contract.DEFAULT_PROBE_CONFIRM_MS / 1000
    responders_grace: float = contract.DEFAULT_RESPONDERS_GRACE_MS / 1000
    redispatch: float = contract.DEFAULT_REDISPATCH_MS / 1000
    retry_after: float = contract.DEFAULT_RETRY_AFTER_MS / 1000
    connect_timeout: float = contract.DEFAULT_CONNECT_TIMEOUT_MS / 1000
    ping_interval: float = contract.DEFAULT_PING_INTERVAL_MS / 1000
    pong_timeout: float = contract.DEFAULT_PONG_TIMEOUT_MS / 1000
    reconnect_min: float = contract.DEFAULT_RECONNECT_MIN_MS / 1000
    reconnect_max: float = contract.DEFAULT_RECONNECT_MAX_MS / 1000
    patterns_refresh: float = contract.DEFAULT_PATTERNS_REFRESH_MS / 1000
    drain: float = contract.DEFAULT_DRAIN_MS / 1000
    idempotency_window: float = contract.DEFAULT_IDEMPOTENCY_WINDOW_MS / 1000
    explain_calls: int = contract.DEFAULT_EXPLAIN_CALLS
    offline_buffer: int = contract.LIMIT_OFFLINE_BUFFER_BYTES
    system_events: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidArgumentError: one is no number, or outside of what is possible.

        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool):
                _check_choice(field.name, value)
            else:
                _check(field.name, value, whole=isinstance(field.default, int))


def choose_url(url: str | None) -> str:
    """The broker's URL: the argument, else `TIELINE_URL`, else `REDIS_URL`, else `memory://`."""
    if url is not None and not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"the URL is text, as in redis://localhost:6379/0, not {url!r:.80}")
    return url or os.environ.get("TIELINE_URL") or os.environ.get("REDIS_URL") or "memory://"


def choose_settings(settings: Settings | None) -> Settings:
    """The settings that were given, else the defaults."""
    if settings is not None and not isinstance(settings, Settings):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"settings are given as Settings(drain=5), not as {settings!r:.80}")
    return settings or Settings()


def choose_service(service: str | None) -> str:
    """Name of the service: the argument, else `TIELINE_SERVICE`, else the program's name."""
    if service is not None and not isinstance(service, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidArgumentError(f"service is the name of the service, a text, not {service!r:.80}")
    name = service or os.environ.get("TIELINE_SERVICE") or Path(sys.argv[0] or "python").stem
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in name)[:64] or "python"


def _check_choice(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"the setting {name} is True or False, not {value!r:.80}")


def _check(name: str, value: Any, *, whole: bool) -> None:
    kind = "a whole number" if whole else "a number of seconds"
    least = 0 if name in _MAY_BE_NOTHING else 1 if whole else 0.001
    most = _LONGEST_TTL if name in _TTLS else math.inf
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not (is_number and least <= value <= most and value != math.inf):
        bounds = f"from {least} to {most:.0f}" if most < math.inf else f"of at least {least}"
        raise InvalidArgumentError(f"the setting {name} is {kind} {bounds}, not {value!r}")
