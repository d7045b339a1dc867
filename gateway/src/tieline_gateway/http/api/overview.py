"""`/v1/overview` and `/v1/metrics`: how the gateway and its broker are doing."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from importlib import metadata
from typing import Any

import msgspec
from starlette.responses import Response

from tieline.figures.histogram import Distribution
from tieline.figures.metrics import Figures, Metrics
from tieline_gateway.access.principal import Action
from tieline_gateway.everybody import SystemSample
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.documents import milliseconds
from tieline_gateway.http.event_stream import event_stream, frame
from tieline_gateway.http.operation import Asked, Nothing, Operation
from tieline_gateway.overview import Backlog, Sample
from tieline_gateway.standing import Rates

_EVERYTHING = ">"
_VERSION = metadata.version("tieline-gateway")


class SampleDocument(msgspec.Struct):
    """One second of this gateway: what came by its Links, simple calls and HTTP."""

    time: int
    """Its end (ms since 1970)."""
    published: float
    """Events a second."""
    called: float
    """Calls a second."""
    failed: float
    """Calls that failed, a second."""
    p50_ms: float | None
    """Round trips of the calls of the last ten seconds; null if there were none."""
    p99_ms: float | None
    in_flight: int
    """Calls under way."""


class GatewayDocument(msgspec.Struct):
    """This gateway."""

    version: str
    instance: str
    uptime_ms: int
    draining: bool
    links: int
    subscribers: int


class BrokerDocument(msgspec.Struct):
    """Its broker: `embedded`, or `redis`."""

    kind: str
    connected: bool


class TotalsDocument(msgspec.Struct):
    """Since the gateway began."""

    published: int
    called: int
    failed: int


class BacklogDocument(msgspec.Struct):
    """What waits at the broker, for all of its clients; a few seconds old at most."""

    topics: int
    groups: int
    waiting: int
    pending: int
    parked: int
    oldest_ms: int
    dead_letters: int
    more_dead_letters: bool
    """There are more: the first hundred of each topic are counted."""


class SchedulesDocument(msgspec.Struct):
    """Planned events."""

    planned: int
    pending: int
    delivered: int
    failed: int
    expired: int
    cancelled: int


class SystemSampleDocument(msgspec.Struct):
    """All instances, whoever they are connected to; rates are null in the first sample."""

    time: int
    """When they had answered (ms since 1970)."""
    published: float | None
    """Events that were published or stored, a second."""
    called: float | None
    """Calls that were made, a second."""
    failed: float | None
    """Calls that failed, a second."""
    handled: float | None
    """Events and calls that handlers have ended, a second."""
    handler_failed: float | None
    """Those of them that failed, a second."""
    p50_ms: float | None
    """Round trips of the calls of the last ten seconds; null if there were none."""
    p99_ms: float | None
    in_flight: int
    """Calls under way."""
    pending: int
    """What handlers have, and what waits for them in their processes."""


class SystemDocument(msgspec.Struct):
    """What all instances tell. They are asked every two seconds, of many instances less often, while somebody reads."""

    instances: int
    """That were there, …"""
    answered: int
    """… and told their figures; those of older versions do not."""
    silent: list[str]
    """Some of those that did not."""
    now: SystemSampleDocument
    recent: list[SystemSampleDocument] | msgspec.UnsetType = msgspec.UNSET
    """What is remembered; in the first answer only."""


class OverviewDocument(msgspec.Struct, kw_only=True):
    """How it is."""

    time: int
    gateway: GatewayDocument
    broker: BrokerDocument
    now: SampleDocument
    totals: TotalsDocument
    backlog: BacklogDocument | None
    """Null while the broker does not say."""
    schedules: SchedulesDocument | None
    instances: int | None
    services: int | None
    system: SystemDocument | None
    """Null while nobody reads `/v1/overview/stream`, and until all have answered."""
    recent: list[SampleDocument] | msgspec.UnsetType = msgspec.UNSET
    """The last minute; in the first answer only."""


class DurationsDocument(msgspec.Struct):
    """Durations in milliseconds."""

    count: int
    average_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class FiguresDocument(msgspec.Struct, kw_only=True):
    """Counted since the start; see docs/metrics.md."""

    published_events: int
    pending_events: int
    delivered_events: int
    failed_events: int
    expired_events: int
    cancelled_events: int
    dropped_events: int
    redelivered_events: int
    retried_events: int
    skipped_events: int
    dead_letters: int
    parked_keys: int
    queue_time: DurationsDocument
    handle_time: DurationsDocument
    round_trip: DurationsDocument


class MetricsDocument(msgspec.Struct):
    """What the gateway's own instance has counted: what came by simple calls and over HTTP."""

    since: int
    all: FiguresDocument
    topics: dict[str, FiguresDocument]
    errors: dict[str, int]
    counters: dict[str, int]
    gauges: dict[str, float]


async def overview(asked: Asked[Nothing, Nothing]) -> OverviewDocument:
    """Tell how the gateway and its broker are doing."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    return await _now(asked.gateway, whole=True)


async def stream(asked: Asked[Nothing, Nothing]) -> Response:
    """Tell it once a second."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    return await event_stream(_seconds(asked.gateway), asked.gateway.stopping)


async def metrics(asked: Asked[Nothing, Nothing]) -> MetricsDocument:
    """Tell what was counted."""
    asked.principal.check(Action.ADMIN, _EVERYTHING)
    return _metrics(asked.gateway.events.metrics())


async def _seconds(gateway: Gateway) -> AsyncGenerator[bytes, None]:
    with gateway.everybody.watched():
        yield frame("overview", await _now(gateway, whole=True))
        while True:
            await gateway.overview.next_sample()
            yield frame("overview", await _now(gateway, whole=False))


async def _now(gateway: Gateway, *, whole: bool) -> OverviewDocument:
    known, traffic = gateway.overview, gateway.traffic
    backlog = await known.backlog()
    links, subscribers = gateway.guests
    uptime = round((time.monotonic() - known.began) * 1000)
    now = gateway.events.clock.now()
    samples = list(known.samples)
    last = samples[-1] if samples else Sample(now, 0.0, 0.0, 0.0, None, None, 0)
    return OverviewDocument(
        time=now,
        gateway=GatewayDocument(_VERSION, gateway.events.instance, uptime, gateway.draining, links, subscribers),
        broker=BrokerDocument("embedded" if gateway.embedded else "redis", gateway.events.connected),
        now=_sample(last),
        totals=TotalsDocument(traffic.published, traffic.called, traffic.failed),
        backlog=None if backlog is None else _backlog(backlog),
        schedules=None if backlog is None else _schedules(backlog),
        instances=None if backlog is None else len(backlog.instances),
        services=None if backlog is None else len(set(backlog.instances.values())),
        system=_system(gateway.everybody.samples, whole=whole),
        recent=[_sample(each) for each in samples] if whole else msgspec.UNSET,
    )


def _system(samples: Sequence[SystemSample], *, whole: bool) -> SystemDocument | None:
    if not samples:
        return None
    last = samples[-1]
    recent = [_system_sample(each) for each in samples] if whole else msgspec.UNSET
    return SystemDocument(last.instances, last.answered, last.silent, _system_sample(last), recent)


def _system_sample(sample: SystemSample) -> SystemSampleDocument:
    rates = dict.fromkeys(Rates._fields) if sample.rates is None else sample.rates._asdict()
    return SystemSampleDocument(
        time=sample.time,
        **{name: rate if rate is None else round(rate, 1) for name, rate in rates.items()},
        p50_ms=None if sample.p50 is None else _ms(sample.p50),
        p99_ms=None if sample.p99 is None else _ms(sample.p99),
        in_flight=sample.in_flight,
        pending=sample.pending,
    )


def _sample(sample: Sample) -> SampleDocument:
    return SampleDocument(
        time=sample.time,
        published=round(sample.published, 1),
        called=round(sample.called, 1),
        failed=round(sample.failed, 1),
        p50_ms=None if sample.p50 is None else _ms(sample.p50),
        p99_ms=None if sample.p99 is None else _ms(sample.p99),
        in_flight=sample.in_flight,
    )


def _backlog(told: Backlog) -> BacklogDocument:
    oldest = round(told.oldest * 1000)
    groups = (told.topics, told.groups, told.waiting, told.pending, told.parked, oldest)
    return BacklogDocument(*groups, told.dead_letters, told.more_dead_letters)


def _schedules(told: Backlog) -> SchedulesDocument:
    sums = told.schedules
    return SchedulesDocument(sums.planned, sums.pending, sums.delivered, sums.failed, sums.expired, sums.cancelled)


def _metrics(told: Metrics) -> MetricsDocument:
    return MetricsDocument(
        since=milliseconds(told.since) or 0,
        all=_figures(told),
        topics={topic: _figures(each) for topic, each in told.topics.items()},
        errors=dict(told.errors),
        counters=dict(told.counters),
        gauges=dict(told.gauges),
    )


def _figures(told: Figures) -> FiguresDocument:
    values: dict[str, Any] = {name: getattr(told, name) for name in FiguresDocument.__struct_fields__}
    values = {name: _durations(each) if isinstance(each, Distribution) else each for name, each in values.items()}
    return FiguresDocument(**values)


def _durations(told: Distribution) -> DurationsDocument:
    return DurationsDocument(told.count, _ms(told.average), _ms(told.p50), _ms(told.p95), _ms(told.p99), _ms(told.max))


def _ms(seconds: float) -> float:
    """Milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/overview",
        summary="Tell how the gateway and its broker are doing",
        handler=overview,
        answer=OverviewDocument,
    ),
    Operation(
        method="GET",
        path="/v1/overview/stream",
        summary="Tell once a second how the gateway and its broker are doing",
        handler=stream,
        streams={"overview": OverviewDocument},
    ),
    Operation(
        method="GET",
        path="/v1/metrics",
        summary="Tell what the gateway has counted",
        handler=metrics,
        answer=MetricsDocument,
    ),
)
