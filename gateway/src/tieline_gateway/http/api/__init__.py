"""The operations of the HTTP API, one module a subject."""

from __future__ import annotations

from tieline_gateway.http.api import (
    calls,
    cron,
    dead_letters,
    events,
    groups,
    history,
    looking,
    overview,
    replays,
    schedules,
    session,
    tap,
    webhooks,
)
from tieline_gateway.http.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *events.OPERATIONS,
    *calls.OPERATIONS,
    *looking.OPERATIONS,
    *tap.OPERATIONS,
    *history.OPERATIONS,
    *replays.OPERATIONS,
    *schedules.OPERATIONS,
    *cron.OPERATIONS,
    *dead_letters.OPERATIONS,
    *groups.OPERATIONS,
    *overview.OPERATIONS,
    *webhooks.OPERATIONS,
    *session.OPERATIONS,
)
"""A path that another one's parameter could be comes before it."""
