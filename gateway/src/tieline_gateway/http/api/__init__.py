"""The operations of the HTTP API, one module a subject."""

from __future__ import annotations

from tieline_gateway.http.api import calls, events, webhooks
from tieline_gateway.http.operation import Operation

OPERATIONS: tuple[Operation, ...] = (*events.OPERATIONS, *calls.OPERATIONS, *webhooks.OPERATIONS)
