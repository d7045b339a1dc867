"""Runs of idempotency keys where there is no Redis: who claimed a key, who joined, and results (SPEC.md, section 12).

It does what the scripts claim, settle and release do.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import REPLY, error_to_wire
from tieline.errors import ConflictError, OverloadedError, TielineError, UnavailableError

log = logging.getLogger("tieline")


_TIDY_AT = 1024
_LOOK_AGAIN_MS = 1_000

Key = tuple[str, str]


Tell = Callable[[bytes, "list[Caller]"], None]


class Caller(NamedTuple):
    """Who waits for a run: its instance, and the id of its call."""

    instance: str
    call_id: bytes


class Joined(NamedTuple):
    """A run under way: when its claim ends (ms since 1970), and where it is."""

    until: int
    instance: str


class Stored(NamedTuple):
    """A result: the fingerprint of its payload, and the REPLY without `call_id`, serialized."""

    fingerprint: bytes
    reply: bytes


class Results(Protocol):
    """Where results are kept for their window."""

    def get(self, key: Key, now: int) -> Stored | None:
        """The result under a key, if it has not expired (ms since 1970).

        Raises:
            UnavailableError: it cannot be read (NOT_DELIVERED).

        """
        ...

    def put(self, key: Key, result: Stored, expires: int, then: Callable[[], None]) -> None:
        """Keep a result until it expires, and call `then` when it is kept as safely as it ever will be."""

    async def aclose(self) -> None:
        """Nothing more will be kept or asked for; wait a while for what is being kept. Idempotent."""

    def abandon(self) -> None:
        """As `aclose`, where there is no loop to wait in. Idempotent."""


class MemoryResults:
    """Results in this process; the oldest give way."""

    def __init__(
        self, most: int = contract.LIMIT_STORED_RESULTS, most_bytes: int = contract.LIMIT_STORED_RESULTS_BYTES
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, tuple[Stored, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key, now: int) -> Stored | None:
        """See `Results.get`."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= now:
            self._drop(key)
            return None
        return found[0]

    def put(self, key: Key, result: Stored, expires: int, then: Callable[[], None]) -> None:
        """See `Results.put`."""
        self._drop(key)
        self._kept[key] = (result, expires)
        self._bytes += len(result.reply)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))
        then()

    async def aclose(self) -> None:
        """See `Results.aclose`."""

    def abandon(self) -> None:
        """See `Results.abandon`."""

    def _drop(self, key: Key) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= len(found[0].reply)


class _Run:
    """A claim that has no result yet, or whose result is on its way into the store: then `tell` waits for it."""

    __slots__ = ("callers", "ends", "fingerprint", "instance", "result", "tell", "token")

    def __init__(self, fingerprint: bytes) -> None:
        self.token = self.instance = ""
        self.fingerprint = fingerprint
        self.ends = 0
        self.callers: dict[Caller, None] = {}
        self.result: Stored | None = None
        self.tell: list[Tell] = []

    def alive(self, now: int) -> bool:
        """Whether it is not to be run again."""
        return self.ends > now or self.result is not None


class Ledger:
    """All runs of one broker."""

    def __init__(self, results: Results | None = None) -> None:
        self._results = results or MemoryResults()
        self._runs: dict[Key, _Run] = {}
        self._tidy_at = _TIDY_AT
        self._tidied = 0

    def look(self, request: Envelope, avoid: str, now: int) -> Envelope | Joined | None:
        """What a request with a key finds.

        The REPLY that it gets without being run; the run that it has joined; or nothing: then it may be dispatched and
        claimed. A run whose responder is to be avoided refused, or is lost, and can be taken over.

        Raises:
            UnavailableError: the results cannot be read.

        """
        key = (request.topic, request.idempotency_key)
        stored, run = self._results.get(key, now), self._runs.get(key)
        alive = run if run is not None and run.alive(now) else None
        known = stored.fingerprint if stored is not None else alive.fingerprint if alive is not None else None
        if known is not None and known != request.fingerprint:
            return _refused(request, conflict(request))
        if stored is not None:
            return reply_for(stored.reply, request.call_id, request.idempotency_key)
        if alive is None or (alive.instance == avoid and alive.result is None):
            return None if run is not None or self._has_room(now) else _refused(request, too_many_runs())
        if len(alive.callers) > contract.LIMIT_JOINERS:
            return _refused(request, too_many(request))
        alive.callers[Caller(request.reply_to, request.call_id)] = None
        return Joined(alive.ends if alive.result is None else now + _LOOK_AGAIN_MS, alive.instance)

    async def aclose(self) -> None:
        """Let go of the results."""
        await self._results.aclose()

    def abandon(self) -> None:
        """Let go of the results; the loop is gone."""
        self._results.abandon()

    def claim(self, request: Envelope, instance: str) -> None:
        """The request is being handed to a responder."""
        key = (request.topic, request.idempotency_key)
        run = self._runs.get(key)
        if len(self._runs) >= self._tidy_at:
            self._tidy(request.time)
        if run is None or run.fingerprint != request.fingerprint:
            run = self._runs[key] = _Run(request.fingerprint)
        run.token, run.ends, run.instance = request.id, request.expires_at, instance
        run.callers[Caller(request.reply_to, request.call_id)] = None

    def settle(self, reply: Envelope, now: int, until: int, then: Tell) -> None:
        """A run has a result, which stays until then: `then` gets what counts, and all who wait, when it is stored."""
        key = (reply.topic, reply.idempotency_key)
        run, stored = self._runs.get(key), self._stored(key, now)
        mine = without_key(reply)
        if (stored or run or reply).fingerprint != reply.fingerprint:
            then(mine, [])
        elif stored is not None:
            then(stored.reply, self._waiting(key))
        else:
            run = run or self._runs.setdefault(key, _Run(reply.fingerprint))
            run.tell.append(then)
            if run.result is None:
                run.result = Stored(reply.fingerprint, mine)
                self._results.put(key, run.result, until, partial(self._settled, key, run, mine))

    def _stored(self, key: Key, now: int) -> Stored | None:
        """The result that was stored first; where that cannot be read, who waits shall have its reply all the same."""
        try:
            return self._results.get(key, now)
        except UnavailableError as error:
            log.error("whether %r of %r has a result already is unknown: %s", key[1], key[0], error)
            return None

    def _settled(self, key: Key, run: _Run, counts: bytes) -> None:
        waiting = self._waiting(key) if self._runs.get(key) is run else []
        for then in run.tell:
            then(counts, waiting)
            waiting = []

    def _waiting(self, key: Key) -> list[Caller]:
        """The run is over; returns all who wait for it."""
        run = self._runs.pop(key, None)
        return list(run.callers) if run is not None else []

    def release(self, request: Envelope) -> list[Caller]:
        """A run ended without a result; returns all who wait for it."""
        run = self._runs.get((request.topic, request.idempotency_key))
        if run is None or run.token != request.id or run.result is not None:
            return []
        return self._waiting((request.topic, request.idempotency_key))

    def _tidy(self, now: int) -> None:
        """Forget the claims that have ended without a word."""
        self._runs = {key: run for key, run in self._runs.items() if run.alive(now)}
        self._tidy_at = max(_TIDY_AT, 2 * len(self._runs))
        self._tidied = now

    def _has_room(self, now: int) -> bool:
        """Whether there may be one more run; where there are so many, one looks once a second which have ended."""
        if len(self._runs) >= contract.LIMIT_RUNS and now - self._tidied >= _LOOK_AGAIN_MS:
            self._tidy(now)
        return len(self._runs) < contract.LIMIT_RUNS


def conflict(request: Envelope) -> TielineError:
    """The key was used with another payload."""
    key, topic = request.idempotency_key, request.topic
    return ConflictError(f"the idempotency key {key!r} was used on {topic!r} with another payload")


def too_many(request: Envelope) -> TielineError:
    """So many wait for the run that no more can."""
    retry_after = contract.DEFAULT_RETRY_AFTER_MS / 1000
    most = contract.LIMIT_JOINERS
    message = f"{most} calls wait for the run of the idempotency key {request.idempotency_key!r} already"
    return OverloadedError(message, retry_after=retry_after)


def too_many_runs() -> TielineError:
    """So many keys are claimed that no more can be."""
    message = f"{contract.LIMIT_RUNS} runs of idempotency keys are under way; call with a shorter ttl, or wait"
    return OverloadedError(message, retry_after=contract.DEFAULT_RETRY_AFTER_MS / 1000)


def _refused(request: Envelope, error: TielineError) -> Envelope:
    return error_reply(request.call_id, error)


def error_reply(call_id: bytes, error: TielineError) -> Envelope:
    """A failed REPLY to this call."""
    return Envelope(kind=REPLY, call_id=call_id, error=error_to_wire(error))  # pyright: ignore[reportArgumentType]


def without_key(reply: Envelope) -> bytes:
    """A REPLY as it is stored."""
    plain = Envelope()
    plain.CopyFrom(reply)
    for field in ("call_id", "topic", "causation_id", "idempotency_key", "fingerprint"):
        plain.ClearField(field)
    return plain.SerializeToString()


def reply_for(stored: bytes, call_id: bytes, key: str = "") -> Envelope:
    """A stored REPLY for one who waits; with the key, if it was not run for it."""
    reply = Envelope.FromString(stored)
    reply.call_id = call_id
    reply.idempotency_key = key
    return reply
