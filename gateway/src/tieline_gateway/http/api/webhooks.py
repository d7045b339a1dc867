"""`/v1/webhooks`: what comes in, what goes out, and how much of it."""

from __future__ import annotations

import msgspec

from tieline.errors import NotFoundError
from tieline_gateway.access.principal import Action
from tieline_gateway.http.operation import Asked, Nothing, Operation
from tieline_gateway.webhooks.delivery import Delivery
from tieline_gateway.webhooks.ingress import PATH
from tieline_gateway.webhooks.sources import Source


class SourceStatus(msgspec.Struct):
    """Who sends, and what became of it since the gateway started."""

    name: str
    kind: str
    path: str
    topics: str
    events: list[str]
    key: str
    accepted: int
    duplicate: int
    ignored: int
    refused: dict[str, int]
    last: int
    """When something came last that was not refused, milliseconds since 1970; 0 for never."""
    last_refused: int
    """The same of what was refused."""
    last_error: str
    """Why that was."""


class DeliveryStatus(msgspec.Struct):
    """Where events are sent, and what became of that since the gateway started."""

    name: str
    topic: str
    url: str
    """Without path and query, which may be secrets."""
    group: str
    state: str
    """`running`, or `stopped` if the address answered 410 Gone; `resume` has it go on."""
    waiting: int | None
    """Events that are still to be sent, by whichever gateway; null if the broker is away."""
    delivered: int
    failed: int
    """Tries that failed."""
    last: int
    """When something was sent last, milliseconds since 1970; 0 for never."""
    last_status: int
    """What was answered last; 0 if nothing was."""
    last_error: str
    """Why the last try failed; empty if it did not."""


class WebhooksStatus(msgspec.Struct):
    """All of them."""

    sources: list[SourceStatus]
    deliveries: list[DeliveryStatus]


async def webhooks(asked: Asked[Nothing, Nothing]) -> WebhooksStatus:
    """Tell of all of them; each gateway tells of what it did itself."""
    asked.principal.check(Action.ADMIN, ">")
    known = asked.gateway.webhooks
    return WebhooksStatus(
        [_source(source) for source in known.sources.values()], [await _delivery(each) for each in known.deliveries]
    )


async def resume(asked: Asked[Nothing, Nothing]) -> DeliveryStatus:
    """Have this gateway send again after a 410."""
    asked.principal.check(Action.ADMIN, ">")
    name = asked.path["name"]
    found = next((each for each in asked.gateway.webhooks.deliveries if each.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no delivery {name!r:.80}; GET /v1/webhooks lists them")
    await found.resume()
    return await _delivery(found)


def _source(source: Source) -> SourceStatus:
    figures = source.figures
    return SourceStatus(
        source.name,
        source.kind_name,
        f"{PATH}{source.name}",
        source.topic(">"),
        source.events,
        source.key,
        figures.accepted,
        figures.duplicate,
        figures.ignored,
        {str(reason): count for reason, count in figures.refused.items()},
        figures.last,
        figures.last_refused,
        figures.last_error,
    )


async def _delivery(delivery: Delivery) -> DeliveryStatus:
    figures, table = delivery.figures, delivery.table
    return DeliveryStatus(
        delivery.name,
        table.topic,
        table.origin,
        delivery.group,
        "stopped" if delivery.stopped else "running",
        await delivery.waiting(),
        figures.delivered,
        figures.failed,
        figures.last,
        figures.last_status,
        figures.last_error,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/webhooks",
        summary="Webhooks, in and out, with their figures",
        handler=webhooks,
        answer=WebhooksStatus,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/deliveries/{name}/resume",
        summary="Have a delivery go on that stopped after a 410",
        handler=resume,
        answer=DeliveryStatus,
    ),
)
