"""The simple calls, for programs with plain stubs; payloads pass through unchanged. Rules: SPEC.md, section 8."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Sequence

from tieline._contract import contract
from tieline._contract import gateway_pb2 as wire
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.fingerprint import fingerprint
from tieline.calls.gather import Responder, is_missing
from tieline.calls.requester import Requester
from tieline.calls.surveyor import Surveyor
from tieline.envelope import EVENT, REQUEST, error_to_wire, new_id
from tieline.errors import InvalidArgumentError, TielineError
from tieline.history.replay import meaning
from tieline.instance import Instance
from tieline.outgoing import check_key
from tieline.publisher import Publisher
from tieline_gateway.links.door import compose
from tieline_gateway.links.mail_door import durability
from tieline_gateway.links.mailroom import appended_to_wire
from tieline_gateway.simple_schedules import SimpleSchedules
from tieline_gateway.traffic import Traffic

_LONGEST_MARGIN = 0.05


class SimpleCalls:
    """Publishes and calls through an instance of the gateway's own, which handles nothing itself.

    `by` is the name of whose event or call it is, for its source; empty where nobody is known.
    """

    def __init__(self, instance: Instance, traffic: Traffic) -> None:
        self._instance = instance
        self._traffic = traffic
        self._publisher = Publisher(instance)
        self._requester = Requester(instance)
        self._surveyor = Surveyor(instance)
        self.schedules = SimpleSchedules(instance)

    async def publish(self, request: wire.PublishRequest, by: str = "") -> wire.PublishResponse:
        """Publish one event, or store it, now or later.

        Raises:
            TielineError: it was refused, or the broker is away.

        """
        if request.delay_ms or request.at:
            told = await self.schedules.plan(request, by)
            self._traffic.published += 1
            return told
        if request.HasField("retry"):
            raise InvalidArgumentError("retry is for what is planned: add delay_ms, or at")
        durable = durability(request)
        ttl = request.ttl_ms or (0 if durable else contract.DEFAULT_EVENT_TTL_MS)
        envelope = compose(EVENT, request, ttl, self._instance, by)
        envelope.id = new_id()
        told = wire.PublishResponse(id=envelope.id, correlation_id=envelope.correlation_id or envelope.id)
        if durable is None:
            await self._publisher.send(envelope)
        else:
            envelope.priority = durable.priority
            told.stored.CopyFrom(appended_to_wire(await self._publisher.keep(envelope, durable)))
        self._traffic.published += 1
        return told

    async def publish_together(
        self, requests: Sequence[wire.PublishRequest], by: str = ""
    ) -> list[wire.PublishResponse]:
        """Store events, all of one topic and all or none; or publish live ones, none of them if one is wrong.

        Raises:
            TielineError: they were refused, or the broker is away.

        """
        durable = [durability(request) for request in requests]
        kept = [one for one in durable if one is not None]
        if len({request.topic for request in requests}) > 1 and kept:
            raise InvalidArgumentError("events that are stored together are of one topic; send those of others apart")
        default = 0 if kept else contract.DEFAULT_EVENT_TTL_MS
        events = [compose(EVENT, request, request.ttl_ms or default, self._instance, by) for request in requests]
        self._traffic.published += len(events)
        for event in events:
            event.id = new_id()
        told = [wire.PublishResponse(id=event.id, correlation_id=event.correlation_id or event.id) for event in events]
        if not kept:
            for event in events:
                await self._publisher.send(event)
            return told
        for event, one in zip(events, kept, strict=True):
            event.priority = one.priority
        for response, place in zip(told, await self._publisher.keep_together(events, kept), strict=True):
            response.stored.CopyFrom(appended_to_wire(place))
        return told

    async def publish_and_wait(
        self, request: wire.PublishAndWaitRequest, remaining: float | None, by: str = ""
    ) -> wire.PublishAndWaitResponse:
        """Call one responder; `remaining` is what the gRPC deadline leaves (seconds), None without one.

        Raises:
            TielineError: why there is no reply.

        """
        envelope = compose(REQUEST, request, _ttl_ms(remaining), self._instance, by)
        if request.idempotency_key:
            envelope.idempotency_key = check_key(request.idempotency_key)
            envelope.fingerprint = fingerprint(request.data, request.content_type)
        idempotent = request.idempotent or bool(request.idempotency_key)
        try:
            with self._traffic.under_way(envelope):
                reply = await self._requester.exchange(envelope, idempotent=idempotent)
        except TielineError as error:
            raise _meant(request.topic, error) from None
        return wire.PublishAndWaitResponse(data=reply.data, content_type=reply.content_type, headers=reply.headers)

    async def publish_and_stream(
        self, request: wire.PublishAndStreamRequest, remaining: float | None, by: str = ""
    ) -> AsyncGenerator[wire.PublishAndStreamResponse, None]:
        """Call one responder and hand on its items; `remaining` as in `publish_and_wait`, for all of them.

        Raises:
            TielineError: why there are no more items.

        """
        seconds = math.inf if remaining is None else _ttl_ms(remaining) / 1000
        envelope = compose(REQUEST, request, _ttl_ms(remaining), self._instance, by)
        stream = self._requester.exchange_stream(envelope, seconds)
        try:
            with self._traffic.under_way(envelope, streams=True):
                async with stream:
                    with contextlib.suppress(StopAsyncIteration):
                        while True:
                            item = await stream.next_envelope()
                            yield wire.PublishAndStreamResponse(data=item.data, content_type=item.content_type)
        except TielineError as error:
            raise _meant(request.topic, error) from None

    async def publish_and_gather(
        self, request: wire.PublishAndGatherRequest, remaining: float | None, by: str = ""
    ) -> wire.PublishAndGatherResponse:
        """Ask every responder; `remaining` as in `publish_and_wait`.

        Raises:
            TielineError: nobody could be asked.

        """
        envelope = compose(REQUEST, request, _ttl_ms(remaining), self._instance, by)
        every = request.every_instance
        try:
            with self._traffic.under_way(envelope):
                answers = await self._surveyor.survey(envelope, request.max_replies, every_instance=every)
        except TielineError as error:
            raise _meant(request.topic, error) from None
        return wire.PublishAndGatherResponse(answers=[_gathered(request.topic, *answer) for answer in answers])


def _meant(topic: str, error: TielineError) -> TielineError:
    """What a recorder refused is told as what it is, and that nobody records."""
    return meaning(error) if topic.startswith(f"{contract.HISTORY_TOPIC}.") else error


def _gathered(topic: str, responder: Responder, answer: Envelope | TielineError) -> wire.Gathered:
    told = wire.Gathered(responder=wire.Responder(service=responder.service, instance=responder.instance))
    if responder.group:
        told.responder.groups.append(responder.group)
    if isinstance(answer, Envelope):
        told.data, told.content_type = answer.data, answer.content_type
    else:
        told.error.CopyFrom(error_to_wire(_meant(topic, answer)))
        told.missing = is_missing(answer)
    return told


def _ttl_ms(remaining: float | None) -> int:
    """The deadline, less a margin: so the caller hears from us what became of its call before its own clock ends it."""
    if remaining is None:
        return contract.DEFAULT_CALL_TTL_MS
    milliseconds = int((remaining - min(_LONGEST_MARGIN, remaining / 10)) * 1000)
    return max(contract.LIMIT_CALL_TTL_MIN_MS, min(milliseconds, contract.LIMIT_CALL_TTL_MAX_MS))
