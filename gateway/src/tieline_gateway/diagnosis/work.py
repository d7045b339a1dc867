"""What may be wrong with what is stored, planned and recorded, and with those who handle it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from tieline.durable.groups import Group
from tieline.errors import NoRespondersError, NotFoundError, TielineError
from tieline.events import EventSystem
from tieline_gateway.counted import counted
from tieline_gateway.diagnosis.finding import Finding, error, fine, warning

_LATE_SECONDS = 30.0
_LAG_SECONDS = 60.0
_MOST = 1_000
_SHOWN = 3


async def check_work(events: EventSystem, stuck_seconds: float) -> AsyncIterator[Finding]:
    """All that can be said of it; a group is stuck whose oldest event waits longer than so many seconds."""
    yield await _services(events)
    topics = sorted(await events.groups.topics())
    groups = [group for topic in topics for group in await events.groups.list(topic)]
    yield _stuck(groups, stuck_seconds)
    yield _parked(groups)
    yield await _dead_letters(events, topics)
    yield await _schedules(events)
    yield await _cron(events)
    yield await _history(events)


async def _services(events: EventSystem) -> Finding:
    found = await events.services()
    others = [(service.name, name, client) for service in found for name, client in service.instances.items()]
    others = [each for each in others if each[1] != events.instance]
    silent = [f"{service}/{name}" for service, name, client in others if not client]
    if silent:
        return warning(
            "services",
            f"{len(silent)} of {counted(len(others), 'instance')} did not answer: {_some(silent)}",
            "they hang, or their loop is blocked, or they died within the last seconds",
        )
    if not others:
        return fine("services", "nobody else is there")
    services = counted(len({each[0] for each in others}), "service")
    verb = "answers" if len(others) == 1 else "answer"
    return fine("services", f"{counted(len(others), 'instance')} of {services} {verb}")


def _stuck(groups: list[Group], seconds: float) -> Finding:
    stuck = [group for group in groups if group.oldest_seconds is not None and group.oldest_seconds > seconds]
    if not stuck:
        return fine("groups", f"{counted(len(groups), 'subscription group')}, and none is behind")
    told = [f"{group.topic}/{group.name} ({group.waiting:,} wait)" for group in stuck]
    oldest = max(group.oldest_seconds or 0.0 for group in stuck)
    return warning(
        "groups",
        f"{counted(len(stuck), 'group')} with events that wait for up to {oldest:,.0f} s: {_some(told)}",
        "start their subscribers, or remove what nobody uses: tieline groups list, tieline groups remove TOPIC GROUP",
    )


def _parked(groups: list[Group]) -> Finding:
    parked = [group for group in groups if group.parked]
    if not parked:
        return fine("parked keys", "no key is parked")
    told = [f"{group.topic}/{group.name} ({group.parked:,})" for group in parked]
    return warning(
        "parked keys",
        f"{counted(sum(group.parked for group in parked), 'key')} stopped, because an event failed for the last time: "
        f"{_some(told)}",
        "tieline parked list tells why; then tieline parked unpark, or skip",
    )


async def _dead_letters(events: EventSystem, topics: list[str]) -> Finding:
    counts = [(topic, len(await events.dead_letters.list(topic, limit=_MOST))) for topic in topics]
    told = [f"{topic} ({number:,}{' or more' if number == _MOST else ''})" for topic, number in counts if number]
    if not told:
        return fine("dead letters", "there are none")
    advice = "tieline dlq list TOPIC tells why; then tieline dlq redrive, or purge"
    return warning("dead letters", f"in {counted(len(told), 'topic')}: {_some(told)}", advice)


async def _schedules(events: EventSystem) -> Finding:
    figures = await events.schedules.figures()
    first = (await events.schedules.list("pending", limit=1)).items
    late = (datetime.now(UTC) - first[0].due).total_seconds() if first else 0.0
    if late > _LATE_SECONDS:
        return error(
            "schedules",
            f"a planned event is due since {late:,.0f} s, and was not published: {first[0].id}",
            "no instance that fires it can reach the broker; start one, any service or gateway will do",
        )
    if figures.failed:
        advice = "tieline schedule list --status failed tells why; tieline schedule retry ID tries again"
        return warning("schedules", f"{counted(figures.failed, 'planned event')} failed", advice)
    return fine("schedules", f"{counted(figures.pending, 'planned event')} to come, and none is late")


async def _cron(events: EventSystem) -> Finding:
    page = await events.cron.list(limit=_MOST)
    failed = [job.name for job in page.items if job.last is not None and job.last.status == "failed"]
    if failed:
        advice = "tieline cron show NAME tells why"
        return warning("cron", f"the last run of {counted(len(failed), 'task')} failed: {_some(failed)}", advice)
    return fine("cron", f"{counted(page.total, 'task')}, and no last run failed")


async def _history(events: EventSystem) -> Finding:
    try:
        figures = await events.history.figures(ttl=2.0)
    except (NoRespondersError, NotFoundError):
        return fine("history", "nobody records")
    except TielineError as failure:
        return error("history", f"recorders do not answer: {failure.message}", "look into their logs")
    troubles = {one.trouble for one in figures.recorders.values() if one.trouble}
    if troubles:
        return error("history", f"nothing can be written: {_some(sorted(troubles))}", "mend the database of --history")
    if figures.lost:
        advice = "the database was away, or too slow, for too long; replay what you need from where it came from"
        return warning("history", f"never recorded: {counted(figures.lost, 'event')}", advice)
    if figures.lag > _LAG_SECONDS:
        advice = "the database is too slow, or a recorder died; start another gateway with the same --history"
        waiting = counted(figures.waiting, "event")
        return warning("history", f"to be recorded since {figures.lag:,.0f} s: {waiting}", advice)
    recorders = counted(len(figures.recorders), "recorder")
    return fine("history", f"{counted(figures.events, 'event')}, {recorders}, none waits long")


def _some(told: list[str]) -> str:
    more = f", and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return f"{', '.join(told[:_SHOWN])}{more}"
