"""Which calls are under way on one Link, so that a stopping gateway can let them finish."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.envelope import CANCEL, REPLY, STREAM_END
from tieline_gateway.traffic import LiveCall, Traffic

_TIDY_ABOVE = 4096
_LAST = (REPLY, STREAM_END)
_LONGEST_MS = contract.LIMIT_CALL_TTL_MAX_MS


class Flight:
    """Calls this Link made and calls it was given, by `call_id`, until their end or their expiry."""

    __slots__ = ("_claims", "_given", "_keys", "_made", "_tidy_at", "_traffic")

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._made: dict[bytes, LiveCall] = {}
        self._given: dict[bytes, int] = {}
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

    def made(self, request: Envelope) -> None:
        """This Link calls somebody."""
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
        self._given[request.call_id] = _end(request)
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
        call = self._made.pop(call_id, None)
        if call is not None:
            self._traffic.ended(call, failed=True)

    def up(self, answer: Envelope) -> None:
        """This Link replied to a call, or cancelled one."""
        self._seal(answer)
        if answer.kind in _LAST:
            self._given.pop(answer.call_id, None)
            self._keys.pop(answer.call_id, None)
        elif answer.kind == CANCEL:
            self._made.pop(answer.call_id, None)

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
        if answer.kind in _LAST:
            call = self._made.pop(answer.call_id, None)
            if call is not None:
                self._traffic.ended(call, failed=answer.HasField("error"))
        elif answer.kind == CANCEL:
            self._given.pop(answer.call_id, None)
            self._keys.pop(answer.call_id, None)

    def busy(self, now: int) -> bool:
        """Whether a call is under way that has not expired."""
        ends = itertools.chain((call.until for call in self._made.values()), self._given.values())
        return any(not expires or expires > now for expires in ends)

    def _tidy(self, now: int) -> None:
        self._made = {call_id: call for call_id, call in self._made.items() if not 0 < call.until <= now}
        self._given = _alive(self._given, now)
        self._claims = {token: claim for token, claim in self._claims.items() if claim[2] > now}
        self._keys = {call_id: asked for call_id, asked in self._keys.items() if call_id in self._given}
        self._tidy_at = max(_TIDY_ABOVE, 2 * len(self._made), 2 * len(self._given), 2 * len(self._claims))


def _alive(calls: dict[bytes, int], now: int) -> dict[bytes, int]:
    return {call_id: expires for call_id, expires in calls.items() if not expires or expires > now}


def _end(request: Envelope) -> int:
    """When the call must be over; 0 for never. A stream says itself when it ends."""
    return request.time + _LONGEST_MS if request.HasField("stream") else request.expires_at
