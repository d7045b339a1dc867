"""What became of a command, as the program saw it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance._contract.peer_pb2 import (
    Explanation,
    Failure,
    Figures,
    Gathered,
    Gave,
    Items,
    Job,
    Receipt,
    Recorded,
    Recorders,
    Replayed,
    Row,
    Scheduled,
    Series,
    Stored,
    Told,
)
from tests.conformance.peers.python.values import from_native
from tieline import (
    CronJob,
    HistoryEvent,
    HistoryFigures,
    HistoryPage,
    Replay,
    ReplayProgress,
    Schedule,
    Stream,
    TielineError,
)
from tieline import Gathered as Everybody
from tieline import Receipt as Published
from tieline.explain.explain import Explanation as Steps
from tieline.figures.metrics import Metrics

_EPOCH = datetime.fromtimestamp(0, UTC)


def failure(error: BaseException) -> Failure:
    """All that can be known of an error."""
    name = type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        return Failure(class_name=name, cancelled=True)
    if not isinstance(error, TielineError):
        return Failure(class_name=name, message=str(error))
    return Failure(
        code=error.code,
        message=error.message,
        details=from_native(error.details),
        outcome=error.outcome,
        type=error.type,
        retry_after_ms=None if error.retry_after is None else error.retry_after * 1_000,
        from_wire=error.from_wire,
        retryable=error.retryable,
        class_name=name,
    )


async def read(stream: Stream | Replay, count: int) -> Items:
    """The next items of a stream, so many or up to its end."""
    items = Items()
    while not count or len(items.values) < count:
        try:
            item = await anext(stream)
            items.values.append(from_native(_progress(item) if isinstance(item, ReplayProgress) else item))
        except StopAsyncIteration:
            items.ended = True
            break
        except TielineError as error:
            items.failure.CopyFrom(failure(error))
            break
    return items


def receipt(published: Published) -> Receipt:
    """What a publish returned."""
    told = Receipt(id=published.id, correlation_id=published.correlation_id, overdue=published.overdue)
    told.planned = published.due is not None
    if published.stored is not None:
        told.stored.CopyFrom(Stored(**published.stored._asdict()))
    return told


def scheduled(schedule: Schedule) -> Scheduled:
    """What is known of a planned event."""
    return Scheduled(
        id=schedule.id,
        status=schedule.status,
        topic=schedule.topic,
        key=schedule.key,
        durable=schedule.durable,
        priority=schedule.priority,
        attempts=schedule.attempts,
        error=schedule.error,
        ended=schedule.ended is not None,
        data=from_native(schedule.event.data),
    )


def job(task: CronJob) -> Job:
    """What is known of a cron task."""
    told = Job(
        name=task.name,
        expression=task.expression,
        zone=task.zone,
        topic=task.topic,
        data=from_native(task.data),
        key=task.key,
        call=task.call,
        paused=task.paused,
        next=task.next is not None,
        runs=task.runs,
        reply=from_native(task.last.reply if task.last else None),
    )
    if task.last is not None:
        told.status, told.attempts = task.last.status, task.last.attempts
        told.error = task.last.error.code if task.last.error else ""
    return told


def page(told: HistoryPage) -> Recorded:
    """A page of history."""
    return Recorded(rows=map(row, told.events), cursor=told.cursor, total=told.total)


def row(event: HistoryEvent) -> Row:
    """An event of history."""
    return Row(
        id=event.id,
        topic=event.type,
        status=event.status,
        key=event.key,
        source=event.source,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        time=str((event.time - _EPOCH) // timedelta(milliseconds=1)),
        expires=event.expires_at is not None,
        retries=event.retry_count,
        error=event.error_msg,
        content_type=event.content_type,
        schema_version=event.schema_version,
        priority=event.priority,
        hops=event.hops,
        headers=event.headers,
        data=from_native(event.data),
        stored=bool(event.stream and event.entry),
    )


def recorders(told: HistoryFigures) -> Recorders:
    """How history is doing."""
    return Recorders(
        count=len(told.recorders),
        filled=told.events > 0 and told.bytes > 0 and None not in (told.oldest, told.newest),
        lost=told.lost,
        trouble=any(each.trouble for each in told.recorders.values()),
    )


def replayed(told: ReplayProgress) -> Replayed:
    """How far a replay is."""
    return Replayed(id=told.id, sent=told.sent, skipped=told.skipped, total=told.total, done=told.done)


def _progress(told: ReplayProgress) -> dict[str, Any]:
    """What of it is the same each time."""
    return {name: getattr(told, name) for name in ("sent", "skipped", "total", "done")}


def gathered(everybody: Everybody) -> Gathered:
    """What everybody said."""
    told = Gathered()
    for reply in everybody.replies:
        told.replies.append(Gave(**reply.responder._asdict(), value=from_native(reply.value)))
    for of, to in ((everybody.errors, told.errors), (everybody.missing, told.missing)):
        to.extend(Gave(**each.responder._asdict(), failure=failure(each.error)) for each in of)
    return told


def figures(metrics: Metrics, topic: str, exposition: str) -> Figures:
    """What was counted of a topic."""
    told = [
        Series(
            kind=one.kind,
            group=one.group,
            total=one.total_events,
            published=one.published_events,
            pending=one.pending_events,
            delivered=one.delivered_events,
            succeeded=one.success_events,
            failed=one.failed_events,
            expired=one.expired_events,
            cancelled=one.cancelled_events,
            dropped=one.dropped_events,
            redelivered=one.redelivered_events,
            retried=one.retried_events,
            skipped=one.skipped_events,
            dead_letters=one.dead_letters,
            parked_keys=one.parked_keys,
            queue_times=one.queue_time.count,
            handle_times=one.handle_time.count,
            round_trips=one.round_trip.count,
        )
        for one in metrics.series
        if one.topic == topic
    ]
    lines = exposition.splitlines(keepends=True)
    read = [line for line in lines if line.startswith("#") or f'topic="{topic}"' in line]
    return Figures(series=told, topic=topic, exposition="".join(read))


def explanation(steps: Steps) -> Explanation:
    """Where something went."""
    told = [
        Told(name=step.name, source=step.source, topic=step.topic, detail=from_native(step.detail))
        for step in steps.steps
    ]
    return Explanation(steps=told, missing=len(steps.missing))
