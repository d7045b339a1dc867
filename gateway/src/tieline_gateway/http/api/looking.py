"""`/v1/services`, `/v1/asyncapi`, `/v1/explain` and `/v1/calls/live`: who is there, and what goes on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tieline.explain.explain import TrailStep
from tieline.services import Service
from tieline_gateway.access.principal import Action
from tieline_gateway.asyncapi import asyncapi
from tieline_gateway.contracts import differences
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.documents import milliseconds
from tieline_gateway.http.operation import Asked, Nothing, Operation

_EVERYTHING = ">"


class Patience(msgspec.Struct, forbid_unknown_fields=True):
    """How long all who are there have to answer."""

    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=30_000)] = 2_000


class LiveQuery(Patience, forbid_unknown_fields=True):
    """How many, and how long all who are there have to answer."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50


class InstanceDocument(msgspec.Struct):
    """One process; `client` is empty if it did not answer in time."""

    instance: str
    client: str


class SubscriptionDocument(msgspec.Struct):
    """One subscription of a service; null where nothing was said."""

    topic: str
    name: str
    group: str
    kind: str
    """`handler`, `observer` or `batch`."""
    streams: bool
    schema_version: str
    input: dict[str, Any] | None
    """JSON Schema of the payload."""
    output: dict[str, Any] | None
    """JSON Schema of the reply, or of each item."""


class ServiceDocument(msgspec.Struct):
    """A service."""

    name: str
    instances: list[InstanceDocument]
    subscriptions: list[SubscriptionDocument]


class SideDocument(msgspec.Struct):
    """What some services say."""

    services: list[str]
    says: Any


class DifferenceDocument(msgspec.Struct):
    """Services differ about a topic."""

    topic: str
    about: str
    sides: list[SideDocument]


class ServicesDocument(msgspec.Struct):
    """Who is there, and where they do not agree."""

    services: list[ServiceDocument]
    differences: list[DifferenceDocument]


class StepDocument(msgspec.Struct):
    """One step of a chain."""

    name: str
    time: int
    after_ms: int
    """Since the first one."""
    service: str
    instance: str
    topic: str
    call_id: str
    detail: dict[str, Any]


class SilentDocument(msgspec.Struct):
    """Who did not tell its part."""

    service: str
    instance: str


class Explained(msgspec.Struct):
    """Where an event or a call went; without steps, nobody remembers anything of it."""

    correlation_id: str
    steps: list[StepDocument]
    missing: list[SilentDocument]


class LiveCallDocument(msgspec.Struct):
    """A call that is under way."""

    correlation_id: str
    topic: str
    since: int
    source: str
    """`service/instance` of the caller."""
    until: int = 0
    """When it must be over (ms since 1970); 0 for never."""
    responder: str = ""
    """The instance that has it; empty where that is the caller's own, or not known."""


class LiveCalls(msgspec.Struct):
    """Calls that are under way, the oldest first: those of all instances, and those of this gateway's clients."""

    items: list[LiveCallDocument]
    total: int
    instances: int
    """That were asked, …"""
    answered: int
    """… and told their calls; those of older versions do not."""


async def services(asked: Asked[Patience, Nothing]) -> ServicesDocument:
    """Tell who is there, and what they are subscribed to."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    found = await _others(asked.gateway, asked.query)
    return ServicesDocument(
        [_service(each) for each in found],
        [
            DifferenceDocument(each.topic, each.about, [SideDocument(side.services, side.says) for side in each.sides])
            for each in differences(found)
        ],
    )


async def asyncapi_document(asked: Asked[Patience, Nothing]) -> dict[str, Any]:
    """Tell the same as an AsyncAPI 3.0 document."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    return asyncapi(await _others(asked.gateway, asked.query), str(asked.request.base_url))


async def explain(asked: Asked[Patience, Nothing]) -> Explained:
    """Tell where an event or call went."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    told = await asked.gateway.events.explain(asked.path["correlation_id"], ttl=asked.query.ttl_ms / 1000)
    missing = [SilentDocument(each.service, each.instance) for each in told.missing]
    return Explained(told.correlation_id, [_step(each, told.steps[0]) for each in told.steps], missing)


async def live(asked: Asked[LiveQuery, Nothing]) -> LiveCalls:
    """Tell what is under way."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    gateway, limit = asked.gateway, asked.query.limit
    told = await gateway.everybody.calls(limit, asked.query.ttl_ms / 1000)
    found = [call for each in told.calls if (call := _live_call(each)) is not None]
    silent = gateway.calls_of_links(told.answered)
    found += [LiveCallDocument(each.correlation_id, each.topic, each.since, each.source, each.until) for each in silent]
    items = sorted(found, key=lambda call: call.since)[:limit]
    return LiveCalls(items, told.total + len(silent), told.instances, len(told.answered))


def _live_call(told: dict[str, Any]) -> LiveCallDocument | None:
    """What an instance told of a call; nothing if that cannot be understood."""
    try:
        return msgspec.convert(told, LiveCallDocument)
    except msgspec.ValidationError:
        return None


async def _others(gateway: Gateway, query: Patience) -> list[Service]:
    """All services but this gateway."""
    found = await gateway.events.services(ttl=query.ttl_ms / 1000)
    for service in found:
        service.instances.pop(gateway.events.instance, None)
    return [service for service in found if service.instances]


def _service(service: Service) -> ServiceDocument:
    instances = [InstanceDocument(name, client) for name, client in service.instances.items()]
    return ServiceDocument(service.name, instances, [SubscriptionDocument(*each) for each in service.subscriptions])


def _step(step: TrailStep, first: TrailStep) -> StepDocument:
    service, _, instance = step.source.rpartition("/")
    after = round((step.time - first.time).total_seconds() * 1000)
    time = milliseconds(step.time) or 0
    return StepDocument(step.name, time, after, service, instance, step.topic, step.call_id, step.detail)


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/services",
        summary="Tell who is there, and what they are subscribed to",
        handler=services,
        query=Patience,
        answer=ServicesDocument,
    ),
    Operation(
        method="GET",
        path="/v1/asyncapi",
        summary="Describe what services are subscribed to, as AsyncAPI",
        handler=asyncapi_document,
        query=Patience,
        answer=dict[str, Any],
    ),
    Operation(
        method="GET",
        path="/v1/explain/{correlation_id:path}",
        summary="Tell where an event or call went",
        handler=explain,
        query=Patience,
        answer=Explained,
    ),
    Operation(
        method="GET",
        path="/v1/calls/live",
        summary="List calls that are under way, whoever made them",
        handler=live,
        query=LiveQuery,
        answer=LiveCalls,
    ),
)
