"""Which calls are under way on one Link: who may answer them, and for what a stopping gateway waits."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import NamedTuple

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, CREDIT, REPLY, STREAM_END
from tieline_gateway.access.limits import Meter
from tieline_gateway.traffic import LiveCall, Traffic

_TIDY_ABOVE = 4096
_MOST_OVER = 1_024
_OF_CALLERS = (CANCEL, CREDIT)
_LONGEST_MS = contract.LIMIT_CALL_TTL_MAX_MS


class Given(NamedTuple):
    """A call to answer: when it must be over (ms since 1970, 0 for never), who asked, whether it wants a stream."""

    end: int
    reply_to: str
    streams: bool


class Flight:
    """Calls this Link made and calls it was given, by `call_id`, until their end or their expiry.

    Args:
        traffic: counts what goes through the gateway.
        meter: counts the calls this Link made.
        before: calls that were given to Links of the same client which have ended.

    """

    __slots__ = ("_before", "_claims", "_given", "_keys", "_made", "_meter", "_over", "_tidy_at", "_traffic")

    def __init__(
        self, traffic: Traffic, meter: Meter | None = None, before: Mapping[bytes, Given] | None = None
    ) -> None:
        self._traffic = traffic
        self._meter = meter or Meter()
        self._before = {} if before is None else before
        self._made: dict[bytes, LiveCall] = {}
        self._over: dict[bytes, None] = {}  # made, and ended last: a CANCEL may follow
        self._given: dict[bytes, Given] = {}
        self._keys: dict[bytes, Envelope] = {}
        self._claims: dict[str, tuple[str, str, int]] = {}
        self._tidy_at = _TIDY_ABOVE

    @property
    def calls(self) -> Collection[LiveCall]:
        """What this Link calls, and has no answer to."""
        return self._made.values()

    @property
    def given_count(self) -> int:
        """How many calls this Link has to answer."""
        return len(self._given)

    @property
    def given_calls(self) -> Mapping[bytes, Given]:
        """Calls this Link has to answer."""
        return self._given

    def may_say(self, step: Envelope, to: str) -> bool:
        """Whether this is a step of a call that was given to this very client, or of one that this Link made.

        Who was given a call answers to whoever asked, and to nobody else, until it is over.
        """
        if step.kind in _OF_CALLERS:
            return step.call_id in self._made or step.call_id in self._over
        given = self._given.get(step.call_id) or self._before.get(step.call_id)
        return given is not None and given.reply_to == to

    def check_room(self, now: int) -> None:
        """Return if there is room for another call.

        Raises:
            OverloadedError: the principal has too many under way.

        """
        most = self._meter.limits.in_flight
        if most is not None and self._meter.in_flight >= most:
            self._tidy(now)
        self._meter.check_room()

    def close(self) -> None:
        """The Link has ended: its calls count no more."""
        self._meter.in_flight -= len(self._made)
        self._made = {}

    def made(self, request: Envelope) -> None:
        """This Link calls somebody."""
        self._meter.in_flight += request.call_id not in self._made
        self._made[request.call_id] = self._traffic.began(request, _end(request), streams=request.HasField("stream"))
        if request.idempotency_key:
            self._claims[request.id] = (request.topic, request.idempotency_key, request.expires_at)
        if len(self._made) > self._tidy_at or len(self._claims) > self._tidy_at:
            self._tidy(request.time)

    def is_out(self, call_id: bytes) -> bool:
        """Whether a call with this id is under way."""
        return call_id in self._made

    def may_release(self, request: Envelope) -> bool:
        """Whether this Link made the request whose claim it gives up; once."""
        claim = self._claims.pop(request.id, None)
        return claim is not None and claim[:2] == (request.topic, request.idempotency_key)

    def given(self, request: Envelope) -> None:
        """This Link has to answer."""
        self._given[request.call_id] = Given(_end(request), request.reply_to, request.HasField("stream"))
        if request.idempotency_key:
            self._keys[request.call_id] = Envelope(
                topic=request.topic,
                idempotency_key=request.idempotency_key,
                fingerprint=request.fingerprint,
                causation_id=request.id,
            )
        if len(self._given) > self._tidy_at:
            self._tidy(request.time)

    def not_taken(self, call_id: bytes) -> None:
        """Nobody took a call this Link made."""
        self._ended(call_id, failed=True)

    def up(self, answer: Envelope) -> None:
        """This Link replied to a call, or cancelled one."""
        self._seal(answer)
        given = self._given.get(answer.call_id)
        if given is not None and (answer.kind == REPLY or (answer.kind == STREAM_END and given.streams)):
            del self._given[answer.call_id]
            self._keys.pop(answer.call_id, None)
        elif answer.kind == CANCEL:
            self._ended(answer.call_id)

    def _ended(self, call_id: bytes, *, failed: bool | None = None) -> None:
        """A call this Link made is over; None: it was given up."""
        call = self._made.pop(call_id, None)
        if call is not None:
            self._over[call_id] = None
            if len(self._over) > _MOST_OVER:
                del self._over[next(iter(self._over))]
            self._meter.in_flight -= 1
            if failed is not None:
                self._traffic.ended(call, failed=failed)

    def _seal(self, reply: Envelope) -> None:
        """A result may be stored under the key of the request it answers, and under no other one."""
        if reply.idempotency_key:
            for field in ("topic", "idempotency_key", "fingerprint", "causation_id"):
                reply.ClearField(field)
            asked = self._keys.get(reply.call_id)
            if asked is not None and reply.kind == REPLY:
                reply.MergeFrom(asked)

    def down(self, answer: Envelope) -> None:
        """This Link got a reply, or is told to give up."""
        made = self._made.get(answer.call_id)
        if made is not None and (answer.kind == REPLY or (answer.kind == STREAM_END and made.streams)):
            self._ended(answer.call_id, failed=answer.HasField("error"))
        elif answer.kind == CANCEL:
            self._given.pop(answer.call_id, None)
            self._keys.pop(answer.call_id, None)

    def busy(self, now: int) -> bool:
        """Whether a call is under way that has not expired."""
        ours = (call.until for call in self._made.values())
        ends = itertools.chain(ours, (given.end for given in self._given.values()))
        return any(not end or end > now for end in ends)

    def _tidy(self, now: int) -> None:
        before = len(self._made)
        self._made = {call_id: call for call_id, call in self._made.items() if not 0 < call.until <= now}
        self._meter.in_flight -= before - len(self._made)
        self._given = {call_id: given for call_id, given in self._given.items() if not 0 < given.end <= now}
        self._claims = {token: claim for token, claim in self._claims.items() if claim[2] > now}
        self._keys = {call_id: asked for call_id, asked in self._keys.items() if call_id in self._given}
        self._tidy_at = max(_TIDY_ABOVE, 2 * len(self._made), 2 * len(self._given), 2 * len(self._claims))


def _end(request: Envelope) -> int:
    """When the call must be over; 0 for never. A stream says itself when it ends."""
    return request.time + _LONGEST_MS if request.HasField("stream") else request.expires_at
