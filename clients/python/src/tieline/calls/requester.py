"""The way of a call out, top to bottom: compose, have a handler answer, here or elsewhere, decode the reply."""

from __future__ import annotations

import asyncio
import itertools
import math
from asyncio import CancelledError, get_running_loop
from collections.abc import Mapping
from typing import Any

from tieline._contract.contract import LIMIT_STREAM_WINDOW
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call_errors import is_refusal
from tieline.calls.caller import reply_value
from tieline.calls.fingerprint import fingerprint
from tieline.calls.retry import Retry
from tieline.calls.stream import Stream
from tieline.calls.stream_call import StreamCall
from tieline.context import CURRENT
from tieline.delivery import crowded
from tieline.envelope import REQUEST, new_id
from tieline.errors import InvalidArgumentError, Outcome, TielineError
from tieline.instance import Instance
from tieline.observe import StepName
from tieline.outgoing import check_key, check_wait, compose, inherited_seconds, ttl_ms
from tieline.turns import Turns

_LEAST_SECONDS = 0.001


class Requester:
    """Calls one responder for one instance, without middleware."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._call_ttl_ms = ttl_ms(None, instance.settings.call_ttl)
        self._turns = Turns()

    async def call(  # noqa: C901 - the way of every call, told in one piece; a coroutine more would be felt
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
        idempotency_key: str | None = None,
        identity: str = "",
    ) -> Any:
        """See `EventSystem.publish_and_wait`. A try of a call that failed before has its `identity`."""
        instance = self._instance
        milliseconds = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        if wait_for_responders or wait_for_connection:
            _check_waits(wait_for_responders, wait_for_connection)
        if instance.port is None or get_running_loop() is not instance.loop:
            milliseconds = await instance.ready(milliseconds)
        request = compose(
            REQUEST, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        if identity:
            request.id = identity
        keyed = idempotency_key is not None
        if idempotency_key is not None:
            idempotent = _add_key(request, idempotency_key)
        subscription = None if keyed else instance.router.responder(topic)  # a run is everybody's: ask the broker
        if instance.router.observing or instance.port.observing:  # pyright: ignore[reportOptionalMemberAccess]
            show_observers(instance, request)
        if subscription is not None:
            local = instance.caller.begin_local(subscription, request, data)
            try:
                if local.future is not None:
                    await local.future
                elif self._turns.due():
                    await asyncio.sleep(0)
                return local.result()
            except TielineError as error:
                error.idempotent = idempotent
                if not is_refusal(error):
                    raise
                refusal, deadline = error, local.deadline
            finally:
                instance.caller.end_local(local)
                if local.future is not None or local.error is not None:
                    local.forget()
        else:
            refusal, deadline = None if keyed else self._crowded(request), 0.0
        call = instance.caller.begin(request, idempotent, wait_for_responders, wait_for_connection, refusal, deadline)
        del request, data  # a call that waits should not hold what it no longer needs
        try:
            return reply_value(await call.waiter)
        except CancelledError:
            instance.caller.abandon(call)
            raise
        finally:
            call.waiter = call.last_error = None  # what came of it is not kept until its deadline

    async def persist(
        self, retry: Retry, topic: str, data: Any, headers: Mapping[str, str] | None, ttl: float | None, *rest: Any
    ) -> Any:
        """Call until it succeeds, the policy says no, or no time is left for another try; `rest` as `call` takes it."""
        if not isinstance(retry, Retry):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"retry is a policy, as in retry=Retry(attempts=5), not {retry!r:.80}")
        clock = self._instance.clock
        seconds = (self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)) / 1000
        deadline, remaining = clock.monotonic() + seconds, ttl
        identity, may_have_run = new_id(), False
        for made in itertools.count(1):
            try:
                return await self.call(topic, data, headers, remaining, *rest, identity=identity)
            except TielineError as error:
                pause = retry.pause(made, error)
                over = error.code == "TIMEOUT" and not error.from_wire  # a try's deadline is that of all
                if over and made > 1:
                    error.message += f", the last of {made} tries in {seconds:g} s"
                may_have_run |= error.outcome is not Outcome.NOT_DELIVERED
                if over or pause is None or clock.monotonic() + pause >= deadline:
                    if may_have_run and error.outcome is Outcome.NOT_DELIVERED:
                        error.outcome = Outcome.MAY_HAVE_RUN  # an earlier try did
                    raise
                self._say_retried(topic, rest[2] or identity, pause, error)
                await clock.sleep(pause)
                remaining = max(_LEAST_SECONDS, deadline - clock.monotonic())
        raise AssertionError  # the loop has no other end

    def _say_retried(self, topic: str, correlation_id: str, pause: float, error: TielineError) -> None:
        parent = CURRENT.get()
        chain = Envelope(topic=topic, correlation_id=parent.correlation_id if parent is not None else correlation_id)
        self._instance.responder.unusual(StepName.RETRIED, chain, after=pause, code=error.code)

    def stream(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        total: float | None = None,
        window: int = 0,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Stream:
        """See `EventSystem.publish_and_stream`."""
        instance = self._instance
        idle = self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0)
        longest = math.inf if total is None else ttl_ms(total, 0, "total") / 1000
        if isinstance(window, bool) or not isinstance(window, int) or not 0 <= window <= LIMIT_STREAM_WINDOW:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"window is a number of items up to {LIMIT_STREAM_WINDOW}, not {window!r}")
        _check_waits(wait_for_responders, wait_for_connection)

        async def begin() -> StreamCall:
            await instance.ready(idle)
            request = compose(
                REQUEST, topic, data, idle, instance, headers, content_type, schema_version, correlation_id
            )
            show_observers(instance, request)
            near = instance.router.can_answer(topic)
            limit = instance.clock.monotonic() + min(longest, inherited_seconds())
            return instance.caller.begin_stream(
                request, limit, window, near, idempotent, wait_for_responders, wait_for_connection
            )

        return Stream(begin, lambda: instance.caller)

    # --- composed requests, for gateways, which need not look inside ----------------------------------------------

    async def exchange(self, request: Envelope, *, idempotent: bool = False) -> Envelope:
        """Call somebody elsewhere with a composed request; returns the REPLY with its payload as it travelled."""
        instance, caller = self._instance, self._instance.caller
        show_observers(instance, request)
        call = caller.begin(request, idempotent)
        try:
            return await call.waiter
        except CancelledError:
            caller.abandon(call)
            raise
        finally:
            call.waiter = call.last_error = None

    def exchange_stream(self, request: Envelope, seconds: float) -> Stream:
        """Read what somebody streams elsewhere for a composed request; all of it must end within so many seconds."""
        instance, caller = self._instance, self._instance.caller

        async def begin() -> StreamCall:
            show_observers(instance, request)
            return caller.begin_stream(request, instance.clock.monotonic() + seconds, 0)

        return Stream(begin, lambda: caller)

    def _crowded(self, request: Envelope) -> TielineError | None:
        """The refusal of responders here that have no room; None if there are none."""
        instance = self._instance
        if not instance.router.has_responder(request.topic):
            return None
        instance.tally.count("overloads")
        instance.system.overload(request)
        return crowded(request.topic, instance.settings.retry_after)


def show_observers(instance: Instance, request: Envelope) -> None:
    """A request is shown to observers here and elsewhere once, wherever it is answered."""
    if instance.router.observing:
        for subscription in instance.router.observers(request.topic):
            instance.responder.deliver(subscription, request)
    if instance.port is not None and instance.port.observing:
        request.id = request.id or new_id()
        instance.port.observe(request)


def _check_waits(wait_for_responders: float, wait_for_connection: float) -> None:
    check_wait(wait_for_responders, "wait_for_responders")
    check_wait(wait_for_connection, "wait_for_connection")


def _add_key(request: Envelope, key: str) -> bool:
    """Make it a call that shares its run; such a call is idempotent."""
    request.idempotency_key = check_key(key)
    request.fingerprint = fingerprint(request.data, request.content_type)
    return True
