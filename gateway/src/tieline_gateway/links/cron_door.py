"""What may be asked of cron tasks from outside. Rules: SPEC.md, sections 8 and 16."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.message import DecodeError

from tieline import topics
from tieline._contract import contract
from tieline.cron.roster import Kept
from tieline.cron.task import CronCall, CronTask, check_task, decode_task, encode_task
from tieline.errors import InvalidArgumentError, InvalidTopicError, PayloadTooLargeError
from tieline.outgoing import check_headers
from tieline.publisher import Durable, check_durable

CALL_TTL_MS = contract.DEFAULT_CALL_TTL_MS
"""How long a call waits that says nothing of it."""

_NEAR_MS = 60_000


def read(serialized: bytes) -> CronTask:
    """Read a task.

    Raises:
        InvalidArgumentError: it is none, or makes no sense.

    """
    try:
        task = decode_task(serialized)
    except (DecodeError, ValueError):
        raise InvalidArgumentError(f"{len(serialized)} bytes are no cron task") from None
    check_task(task)
    return task


def task(serialized: bytes, source: str) -> tuple[CronTask, bytes]:
    """Read and sign what is to be fired.

    Raises:
        TielineError: it breaks a rule that holds for events and calls, or makes no sense.

    """
    made = replace(read(serialized), source=source)
    action = made.action
    topics.check_topic(action.topic)
    if topics.is_reserved(action.topic):
        raise InvalidTopicError(f"{action.topic!r} is published by the system only; choose another first token")
    payload, limit = len(action.data), contract.LIMIT_PAYLOAD_BYTES
    if payload > limit:
        details = {"size": payload, "limit": limit}
        raise PayloadTooLargeError(f"the payload takes {payload} bytes, at most {limit} are allowed", details=details)
    check_headers(action.headers)
    if not 0 <= action.ttl <= contract.LIMIT_CALL_TTL_MAX_MS:
        raise InvalidArgumentError(f"ttl_ms is {action.ttl}; it must be from 0 to {contract.LIMIT_CALL_TTL_MAX_MS}")
    if not isinstance(action, CronCall):
        check_durable(Durable(action.key or None, action.priority or contract.PRIORITY_NORMAL, None, 0))
    return made, encode_task(made)


def expected(task: CronTask, given: int, kept: Kept | None, now: int) -> int | None:
    """The next tick of a task: a tick of its, from about now on, unless it is the one that was next before.

    Raises:
        InvalidArgumentError: it is none.

    """
    if given == 0 or (kept is not None and kept.expected == given):
        return given or None
    if task.tick_after(max(given, now - _NEAR_MS) - 1) != given:
        raise InvalidArgumentError(f"{given} is no coming tick of {task.name!r}", details={"field": "expected"})
    return given


def name(given: str) -> str:
    """The task that is meant.

    Raises:
        InvalidArgumentError: it can be none.

    """
    if not 0 < len(given) <= contract.LIMIT_KEY_BYTES:
        raise InvalidArgumentError(f"the name of a cron task is text, not {given!r:.80}", details={"field": "name"})
    return given


def moment(given: int, now: int) -> int:
    """The moment a run stands for.

    Raises:
        InvalidArgumentError: it is not about now.

    """
    if abs(given - now) > _NEAR_MS:
        raise InvalidArgumentError(f"a run besides the ticks stands for now, which is {now}, not for {given}")
    return given
