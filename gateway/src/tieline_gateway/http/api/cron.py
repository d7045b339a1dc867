"""`/v1/cron`: tasks that recur."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from tieline import codec
from tieline._contract import contract
from tieline.cron.job import CronJob, CronRun
from tieline.cron.task import Misfire
from tieline.errors import TielineError
from tieline.topics import check_topic
from tieline_gateway.access import rights
from tieline_gateway.access.principal import Action
from tieline_gateway.http.documents import ErrorDocument, error_document, milliseconds, moment
from tieline_gateway.http.operation import Asked, Nothing, Operation

_MOST_BYTES = contract.LIMIT_PAYLOAD_BYTES + contract.LIMIT_HEADERS_BYTES + 65_536
Absent = msgspec.UnsetType
_UNSET = msgspec.UNSET
Duration = Annotated[int, msgspec.Meta(ge=0)]


class CronQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which tasks."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=contract.LIMIT_PAGE)] = contract.DEFAULT_PAGE


class CronSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be said of a task. Moments are milliseconds since 1970, null for none."""

    data: msgspec.Raw | Absent = _UNSET
    zone: str | Absent = _UNSET
    jitter_ms: Duration | Absent = _UNSET
    start: int | Absent | None = _UNSET
    end: int | Absent | None = _UNSET
    misfire: Misfire | Absent = _UNSET
    grace_ms: Duration | Absent = _UNSET
    paused: bool | Absent = _UNSET
    call: bool | Absent = _UNSET
    key: str | Absent | None = _UNSET
    durable: bool | Absent = _UNSET
    priority: int | Absent = _UNSET
    ttl_ms: Annotated[int, msgspec.Meta(ge=1)] | Absent | None = _UNSET
    headers: dict[str, str] | Absent = _UNSET
    retries: Annotated[int, msgspec.Meta(ge=0)] | Absent = _UNSET
    retry_delay_ms: Duration | Absent = _UNSET


class NewCron(CronSettings, kw_only=True):
    """A task that recurs: an event that is published, or with `call` a call that is made."""

    name: str
    expression: str
    """Five fields, six with the second before them, `@hourly` and the like, or `every 90m`."""
    topic: str


class CronChange(CronSettings, kw_only=True):
    """What is to be different about a task; what is not named stays."""

    expression: str | Absent = _UNSET
    topic: str | Absent = _UNSET


class CronRunDocument(msgspec.Struct):
    """What became of a tick, or of a run that somebody asked for."""

    tick: int
    started: int
    ended: int | None
    status: str
    """`executed` while a call is under way, then `completed` or `failed`."""
    attempts: int
    error: ErrorDocument | None
    reply: Any
    omitted: bool
    """The reply was too long to be kept."""


class CronDocument(msgspec.Struct):
    """A task that recurs. Moments are milliseconds since 1970."""

    name: str
    expression: str
    zone: str
    topic: str
    data: Any
    call: bool
    next: int | None
    last: CronRunDocument | None
    runs: int
    paused: bool
    jitter_ms: int
    start: int | None
    end: int | None
    misfire: Misfire
    grace_ms: int
    key: str
    durable: bool
    priority: int
    ttl_ms: int | None
    headers: Mapping[str, str]
    retries: int
    retry_delay_ms: int
    created: int
    updated: int


class CronPage(msgspec.Struct):
    """Some tasks, in the order of their names."""

    items: list[CronDocument]
    total: int | None
    """Null for who may not see all of them."""
    page: int
    limit: int


class Ran(msgspec.Struct):
    """The event, or the call, that a run made."""

    id: str


async def find(asked: Asked[CronQuery, Nothing]) -> CronPage:
    """Tell of a page; those of topics that one may not see are left out."""
    page = await asked.gateway.events.cron.list(page=asked.query.page, limit=asked.query.limit)
    items = [_shown(job) for job in page.items if asked.principal.may(Action.ADMIN, job.topic)]
    total = page.total if rights.may_count(asked.principal) else None
    return CronPage(items, total, page.page, page.limit)


async def create(asked: Asked[Nothing, NewCron]) -> CronDocument:
    """Have an event published, or a call made, whenever an expression says so."""
    body = asked.body
    asked.principal.check(Action.ADMIN, check_topic(body.topic))
    options: dict[str, Any] = {"data": None, "content_type": codec.JSON, **_options(body)}
    return _shown(await asked.gateway.events.cron.create(**options))


async def get(asked: Asked[Nothing, Nothing]) -> CronDocument:
    """Tell of one."""
    return _shown(await _allowed(asked))


async def update(asked: Asked[Nothing, CronChange]) -> CronDocument:
    """Change what is named; the rest stays."""
    job = await _allowed(asked)
    if asked.body.topic is not _UNSET:
        asked.principal.check(Action.ADMIN, check_topic(asked.body.topic))
    return _shown(await asked.gateway.events.cron.update(job.name, **_options(asked.body)))


async def delete(asked: Asked[Nothing, Nothing]) -> CronDocument:
    """Forget a task; tells what it was."""
    job = await _allowed(asked)
    return _shown(await asked.gateway.events.cron.delete(job.name))


async def pause(asked: Asked[Nothing, Nothing]) -> CronDocument:
    """Let no tick come until it is resumed."""
    job = await _allowed(asked)
    return _shown(await asked.gateway.events.cron.pause(job.name))


async def resume(asked: Asked[Nothing, Nothing]) -> CronDocument:
    """Let ticks come again."""
    job = await _allowed(asked)
    return _shown(await asked.gateway.events.cron.resume(job.name))


async def run(asked: Asked[Nothing, Nothing]) -> Ran:
    """Run a task besides its ticks."""
    job = await _allowed(asked)
    return Ran(await asked.gateway.events.cron.run_now(job.name))


async def _allowed(asked: Asked[Nothing, Nothing] | Asked[Nothing, CronChange]) -> CronJob:
    job = await asked.gateway.events.cron.get(asked.path["name"])
    rights.check_task(asked.principal, job.topic, job.name)
    return job


def _options(body: CronSettings) -> dict[str, Any]:
    """What was said, as the client takes it."""
    said = {name: getattr(body, name) for name in body.__struct_fields__}
    said = {name: value for name, value in said.items() if value is not _UNSET}
    for name in ("jitter_ms", "grace_ms", "ttl_ms", "retry_delay_ms"):
        if name in said:
            value = said.pop(name)
            said[name.removesuffix("_ms")] = None if value is None else value / 1000
    for name in ("start", "end"):
        if name in said:
            said[name] = moment(name, said[name])
    if "data" in said:
        said["data"], said["content_type"] = codec.decode(bytes(said["data"]), codec.JSON), codec.JSON
    return said


def _shown(job: CronJob) -> CronDocument:
    ttl = None if job.ttl is None else round(job.ttl * 1000)
    return CronDocument(
        name=job.name,
        expression=job.expression,
        zone=job.zone,
        topic=job.topic,
        data=job.data,
        call=job.call,
        next=milliseconds(job.next),
        last=None if job.last is None else _run(job.last),
        runs=job.runs,
        paused=job.paused,
        jitter_ms=round(job.jitter * 1000),
        start=milliseconds(job.start),
        end=milliseconds(job.end),
        misfire=job.misfire,
        grace_ms=round(job.grace * 1000),
        key=job.key,
        durable=job.durable,
        priority=job.priority,
        ttl_ms=ttl,
        headers=job.headers,
        retries=job.retries,
        retry_delay_ms=round(job.retry_delay * 1000),
        created=_ms(job.created),
        updated=_ms(job.updated),
    )


def _run(run: CronRun) -> CronRunDocument:
    return CronRunDocument(
        tick=_ms(run.tick),
        started=_ms(run.started),
        ended=milliseconds(run.ended),
        status=run.status,
        attempts=run.attempts,
        error=error_document(run.error) if isinstance(run.error, TielineError) else None,
        reply=run.reply,
        omitted=run.omitted,
    )


def _ms(moment: datetime) -> int:
    return milliseconds(moment) or 0


def _action(name: str, summary: str, handler: Callable[[Any], Any], answer: Any) -> Operation:
    path = f"/v1/cron/{{name:path}}/{name}"
    return Operation(method="POST", path=path, summary=summary, handler=handler, answer=answer)


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/cron",
        summary="List tasks that recur",
        handler=find,
        query=CronQuery,
        answer=CronPage,
    ),
    Operation(
        method="POST",
        path="/v1/cron",
        summary="Create a task that recurs",
        handler=create,
        body=NewCron,
        example={"name": "nightly", "expression": "0 3 * * *", "topic": "report.make", "zone": "Europe/Berlin"},
        answer=CronDocument,
        status=201,
        most_bytes=_MOST_BYTES,
    ),
    _action("pause", "Let no tick come until the task is resumed", pause, CronDocument),
    _action("resume", "Let ticks come again", resume, CronDocument),
    _action("run", "Run a task now, besides its ticks", run, Ran),
    Operation(
        method="GET",
        path="/v1/cron/{name:path}",
        summary="Tell of a task that recurs",
        handler=get,
        answer=CronDocument,
    ),
    Operation(
        method="PATCH",
        path="/v1/cron/{name:path}",
        summary="Change a task that recurs",
        handler=update,
        body=CronChange,
        answer=CronDocument,
        most_bytes=_MOST_BYTES,
    ),
    Operation(
        method="DELETE",
        path="/v1/cron/{name:path}",
        summary="Delete a task that recurs",
        handler=delete,
        answer=CronDocument,
    ),
)
