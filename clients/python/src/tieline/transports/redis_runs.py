"""Requests with an idempotency key on Redis: claimed, joined, settled, released (SPEC.md, section 12)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tieline._contract import contract, scripts
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.ledger import conflict, error_reply, reply_for, too_many, without_key
from tieline.envelope import frame
from tieline.errors import TielineError
from tieline.transports.redis_link import LinkDownError, RedisLink, ReplyError
from tieline.transports.redis_server import command_error

if TYPE_CHECKING:
    from tieline.transports.redis import RedisTransport
    from tieline.transports.redis_port import RedisPort

log = logging.getLogger("tieline")

_INSTANCE_BYTES = 16


class RedisRuns:
    """The runs that ports of this process claim and settle."""

    def __init__(self, transport: RedisTransport) -> None:
        self._transport = transport
        self._unsettled: deque[tuple[RedisPort, str, Envelope]] = deque()
        self._unsettled_bytes = 0

    def claim(self, link: RedisLink, port: RedisPort, request: Envelope, avoid: str) -> bytes:
        """Hand a request to a responder, unless its run is under way or done; returns what was sent."""
        data = request.SerializeToString()
        settings = self._transport.settings
        arguments = [
            request.id.encode(),
            request.fingerprint,
            b"%d" % max(1, request.expires_at - port.clock.now()),
            b"%d" % int(settings.idempotency_window * 1000),
            b"%d" % contract.LIMIT_JOINERS,
            port.instance.encode() + request.call_id,
            avoid.encode(),
            frame(data),
        ]
        self._run(
            link, scripts.CLAIM_RUN, scripts.claim_run_names, request, arguments, partial(self._claimed, port, request)
        )
        return data

    def _claimed(self, port: RedisPort, request: Envelope, reply: Any) -> None:
        call_id, receiver = request.call_id, port.receiver
        if isinstance(reply, Exception):
            receiver.on_dispatched(call_id, "", command_error(reply))
            return
        verdict, *found = reply
        if verdict == b"taken":
            receiver.on_dispatched(call_id, found[0].decode(), None)
        elif verdict == b"joined":
            receiver.on_joined(call_id, int(found[0]), found[1].decode())
        elif verdict == b"done":
            receiver.on_answer(reply_for(found[0], call_id, request.idempotency_key))
        elif verdict == b"nobody":
            receiver.on_dispatched(call_id, "", None)
        else:
            error = conflict(request) if verdict == b"conflict" else too_many(request)
            receiver.on_answer(error_reply(call_id, error))

    def settle(self, link: RedisLink | None, port: RedisPort, to: str, reply: Envelope) -> None:
        """Store a result and answer everyone who waits for it; kept for a while if the link is down."""
        if link is None:
            self._keep(port, to, reply)
            return
        window = b"%d" % int(self._transport.settings.idempotency_window * 1000)
        arguments = [reply.fingerprint, window, without_key(reply)]
        then = partial(self._settled, port, to, reply)
        self._run(link, scripts.SETTLE_RUN, scripts.settle_run_names, reply, arguments, then)

    def _settled(self, port: RedisPort, to: str, reply: Envelope, answer: Any) -> None:
        if isinstance(answer, LinkDownError):
            self._keep(port, to, reply)
            return
        if isinstance(answer, ReplyError):  # the caller shall have its reply all the same
            log.error("the result of idempotency key %r was not stored: %s", reply.idempotency_key, answer)
            answer = [without_key(reply)]
            self._give_up(port, reply, reply.causation_id, partial(reply_for, answer[0]))
        counts, *waiting = answer
        own = to.encode() + reply.call_id
        _answer(port, [own, *waiting], partial(reply_for, counts))

    def release(self, port: RedisPort, request: Envelope, error: TielineError) -> None:
        """Give up a claim; who joined it gets the error."""
        self._give_up(port, request, request.id, partial(_error_reply, error))

    def _give_up(self, port: RedisPort, about: Envelope, token: str, reply: Callable[[bytes], Envelope]) -> None:
        def then(answer: Any) -> None:
            if not isinstance(answer, Exception):
                _answer(port, answer, reply)

        link = self._transport.link
        if link is not None:  # else the claim ends by itself
            self._run(link, scripts.RELEASE_RUN, scripts.release_run_names, about, [token.encode()], then)

    def resume(self) -> None:
        """The link is back: settle what could not be settled."""
        unsettled, self._unsettled, self._unsettled_bytes = self._unsettled, deque(), 0
        for port, to, reply in unsettled:
            port.answer(to, reply)

    def _keep(self, port: RedisPort, to: str, reply: Envelope) -> None:
        """Beyond the bound it is dropped; its caller will learn that the link broke, and the claim will end."""
        size = reply.ByteSize()
        if self._unsettled_bytes + size <= self._transport.settings.offline_buffer:
            self._unsettled.append((port, to, reply))
            self._unsettled_bytes += size

    def _run(
        self,
        link: RedisLink,
        script: scripts.Script,
        names: Any,
        about: Envelope,
        arguments: Sequence[bytes],
        then: Any,
    ) -> None:
        self._transport.run(link, script, partial(_names, names, about), about.topic, arguments, then)


def _names(names: Any, about: Envelope, prefix: str, topic: str) -> tuple[str, ...]:
    return names(prefix, topic, about.idempotency_key)


def _answer(port: RedisPort, waiting: Iterable[bytes], reply: Callable[[bytes], Envelope]) -> None:
    """Answer everyone who waits, each once and with its own call id."""
    for caller in dict.fromkeys(waiting):
        port.answer(caller[:_INSTANCE_BYTES].decode(), reply(caller[_INSTANCE_BYTES:]))


def _error_reply(error: TielineError, call_id: bytes) -> Envelope:
    return error_reply(call_id, error)
