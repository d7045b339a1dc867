"""What a durable subscriber asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tieline import topics
from tieline._contract import contract
from tieline.durable.idempotency import IdempotencyStore
from tieline.durable.mail import DEFAULT_GROUP
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import InvalidArgumentError

Start = Literal["earliest", "latest"]
Poison = Literal["park", "skip", "dead_letter"]

_ONLY_DURABLE = ("start", "retry", "timeout", "on_poison", "idempotency")
_NEVER_DURABLE = ("observe", "queue", "on_gap", "by_reference")


@dataclass(frozen=True, slots=True)
class Durability:
    """How events that were stored are handled.

    Attributes:
        group: the subscription group.
        latest: a new group does not get what was stored before.
        retry: when an event is tried again.
        timeout: seconds that a handler may take for one event.
        on_poison: what becomes of an event that failed for the last time; None: its key is parked, or, without a key,
            it becomes a dead letter.
        idempotency: remembers which events were handled; None if nothing does.

    """

    group: str
    latest: bool
    retry: RetryPolicy
    timeout: float
    on_poison: Poison | None
    idempotency: IdempotencyStore | None


def durability(topic: str, options: Mapping[str, Any]) -> Durability | None:
    """What the options of a subscription ask for; None for a live one.

    Raises:
        InvalidArgumentError: they make no sense, alone or together.

    """
    if not isinstance(durable := options.get("durable", False), bool):
        raise InvalidArgumentError(f"durable is True or False, not {durable!r:.80}")
    if not durable:
        strange = [name for name in _ONLY_DURABLE if name in options]
        if strange:
            raise InvalidArgumentError(f"{strange[0]}= is for durable events: add durable=True")
        return None
    strange = [name for name in _NEVER_DURABLE if options.get(name)]
    if strange:
        raise InvalidArgumentError(f"{strange[0]}= is for live events; a durable subscription does without")
    if topics.is_pattern(topic):
        raise InvalidArgumentError(f"a durable subscription is on one topic, not on the pattern {topic!r}")
    start = options.get("start", "earliest")
    if start not in ("earliest", "latest"):
        raise InvalidArgumentError(f"start is 'earliest' or 'latest', not {start!r:.80}")
    retry = options.get("retry") or RetryPolicy()
    if not isinstance(retry, RetryPolicy):
        raise InvalidArgumentError(f"retry is a policy, as in retry=RetryPolicy(max_attempts=5), not {retry!r:.80}")
    on_poison = options.get("on_poison")
    if on_poison not in (None, "park", "skip", "dead_letter"):
        raise InvalidArgumentError(f"on_poison is 'park', 'skip' or 'dead_letter', not {on_poison!r:.80}")
    timeout = options.get("timeout", contract.DEFAULT_HANDLER_TIMEOUT_MS / 1000)
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not (number and 0 < timeout <= 86_400):
        raise InvalidArgumentError(f"timeout is in seconds, up to 86400, not {timeout!r:.80}")
    group, store = options.get("group") or DEFAULT_GROUP, _checked_store(options)
    return Durability(group, start == "latest", retry, float(timeout), on_poison, store)


def _checked_store(options: Mapping[str, Any]) -> IdempotencyStore | None:
    store = options.get("idempotency")
    if store is None:
        return None
    if not all(callable(getattr(store, name, None)) for name in ("begin", "done", "give_up")):
        raise InvalidArgumentError(f"idempotency is a store, as in idempotency_store('redis://…'), not {store!r:.80}")
    if options.get("batch") is not None:
        raise InvalidArgumentError("idempotency= is for handlers of single events, and batch= makes lists of them")
    return store
