"""What may be asked of planned events from outside, and how they are told of. Rules: SPEC.md, sections 8 and 15."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tieline._contract import agenda_pb2 as wire
from tieline._contract import contract
from tieline._contract import gateway_pb2 as link_wire
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import InvalidArgumentError
from tieline.publisher import Durable, check_durable
from tieline.schedules.agenda import Plan, Planned, ScheduleStatus, Way
from tieline.schedules.planner import DEFAULT_RETRY, When, plan_of, way_of
from tieline.schedules.schedules import Schedule
from tieline_gateway.links.door import Door

_LONGEST_WINDOW_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, which a datetime can still say
_SECONDS = range(10**9, 10**11)  # years 2001 to 5138 told in seconds; in milliseconds nobody means them: 1970 to 1973
_STATUSES = {
    wire.SCHEDULE_STATUS_PENDING: ScheduleStatus.PENDING,
    wire.SCHEDULE_STATUS_DELIVERED: ScheduleStatus.DELIVERED,
    wire.SCHEDULE_STATUS_FAILED: ScheduleStatus.FAILED,
    wire.SCHEDULE_STATUS_EXPIRED: ScheduleStatus.EXPIRED,
    wire.SCHEDULE_STATUS_CANCELLED: ScheduleStatus.CANCELLED,
}
_NUMBERS = {status: number for number, status in _STATUSES.items()}


def plan(door: Door, item: wire.Plan, now: int) -> Plan:
    """Read and stamp what is to be planned.

    Raises:
        TielineError: it breaks a rule.

    """
    event = door.planned(item.envelope, now)
    event.priority = event.priority or contract.PRIORITY_NORMAL
    planned = Durable(event.key or None, event.priority, item.known_as or None, item.most)
    check_durable(planned)
    made = plan_of(event, way_of(item.durable, planned), event.scheduled, planned, retry(item.retry))
    return made._replace(window=_window(item.window_ms)) if item.known_as else made


def retry(item: wire.PlanRetry) -> RetryPolicy:
    """How often to try to store a planned event.

    Raises:
        InvalidArgumentError: it makes no sense.

    """
    if not item.attempts:
        return DEFAULT_RETRY
    backoff, cap = item.backoff_ms / 1000, item.cap_ms / 1000
    return RetryPolicy(max_attempts=item.attempts, backoff=backoff, cap=max(backoff, cap), jitter=False)


def when(request: link_wire.PublishRequest | link_wire.RescheduleRequest | link_wire.RetryScheduleRequest) -> When:
    """When a plain program wants an event to be published.

    Raises:
        InvalidArgumentError: it cannot be meant.

    """
    if not request.at:
        return When(_delay(request.delay_ms) / 1000, None)
    if request.delay_ms:
        raise InvalidArgumentError("delay_ms and at are two ways to say when: give one of them")
    if request.at in _SECONDS:
        raise InvalidArgumentError(
            f"at is in milliseconds since 1970; {request.at} looks like seconds: multiply by 1000"
        )
    if not 0 < request.at <= _LATEST_MS:
        raise InvalidArgumentError(f"at is in milliseconds since 1970, not {request.at}")
    return When(None, _EPOCH + timedelta(milliseconds=request.at))


def other_time(request: link_wire.RescheduleRequest) -> When:
    """When a plain program wants a planned event to be published instead; to say nothing is not to say now.

    Raises:
        InvalidArgumentError: it is not said, or cannot be meant.

    """
    if not request.delay_ms and not request.at:
        raise InvalidArgumentError("say when: delay_ms of at least 1, or at")
    return when(request)


def _delay(given: int) -> int:
    if not 0 <= given <= contract.LIMIT_PLAN_LONGEST_MS:
        bounds = f"from 0 to {contract.LIMIT_PLAN_LONGEST_MS} (ten years)"
        raise InvalidArgumentError(f"delay_ms is in milliseconds, {bounds}, not {given}")
    return given


def due(given: int, now: int) -> int:
    """When an event is to be published, at the earliest now (ms since 1970).

    Raises:
        InvalidArgumentError: it is too far ahead.

    """
    if given <= 0 or given - now > contract.LIMIT_PLAN_LONGEST_MS:
        raise InvalidArgumentError(f"a moment is told in milliseconds since 1970, up to ten years ahead, not {given}")
    return max(given, now)


def status(number: int) -> ScheduleStatus:
    """The status that is meant.

    Raises:
        InvalidArgumentError: it is none.

    """
    known = _STATUSES.get(number)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if known is None:
        raise InvalidArgumentError(f"no planned event has the status {number}")
    return known


def id_of(given: str) -> str:
    """The planned event that is meant.

    Raises:
        InvalidArgumentError: it can be none.

    """
    if not 0 < len(given) <= contract.LIMIT_KEY_BYTES:
        raise InvalidArgumentError(f"the id of a schedule is text, as a receipt tells it, not {given!r:.80}")
    return given


def limit(given: int) -> int:
    """How many are wanted.

    Raises:
        InvalidArgumentError: none, or too many.

    """
    if not 1 <= given <= contract.LIMIT_PAGE:
        raise InvalidArgumentError(f"limit must be from 1 to {contract.LIMIT_PAGE}, not {given}")
    return given


def planned_to_wire(one: Planned) -> wire.Planned:
    """Put a planned event on the wire."""
    return wire.Planned(
        id=one.id,
        status=_NUMBERS[one.status],
        due=one.due,
        tries=one.tries,
        created=one.created,
        ended=one.ended,
        why=one.why,
        durable=one.way in (Way.KEY, Way.LANE),
        priority=one.priority,
        envelope=one.envelope,
    )


def schedule_to_wire(one: Schedule) -> wire.Schedule:
    """Put a schedule on the wire, for a plain program."""
    return wire.Schedule(
        id=one.id,
        status=_NUMBERS[one.status],
        due=milliseconds(one.due),
        topic=one.topic,
        key=one.key,
        durable=one.durable,
        priority=one.priority,
        attempts=one.attempts,
        created=milliseconds(one.created),
        ended=milliseconds(one.ended) if one.ended else 0,
        error=one.error,
        event=one.event.envelope,
    )


def milliseconds(moment: datetime) -> int:
    """A moment, in milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _window(given: int) -> int:
    if not 0 < given <= _LONGEST_WINDOW_MS:
        raise InvalidArgumentError(f"window_ms must be from 1 to {_LONGEST_WINDOW_MS}, not {given}")
    return given
