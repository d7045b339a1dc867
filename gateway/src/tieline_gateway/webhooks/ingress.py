"""`POST /webhooks/{source}`: verified, stored durably in the same step as it is de-duplicated, and then answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tieline import codec
from tieline._contract import contract
from tieline.durable.mail import Stored
from tieline.envelope import EVENT, new_id
from tieline.errors import (
    NotFoundError,
    Outcome,
    OverloadedError,
    PayloadTooLargeError,
    TielineError,
    UnavailableError,
)
from tieline.instance import Instance
from tieline.outgoing import compose
from tieline.publisher import Durable, Publisher, check_durable
from tieline_gateway.access.refusals import Refusals
from tieline_gateway.gateway import Gateway
from tieline_gateway.http.problems import HttpError, refusal
from tieline_gateway.http.serving import JSON, peer_of, read_body
from tieline_gateway.webhooks.arrival import Arrival, Reason, Refused, content_type
from tieline_gateway.webhooks.github import PING
from tieline_gateway.webhooks.sources import Source

PATH = "/webhooks/"
"""What is below it needs no token: a signature says who sends."""

_log = logging.getLogger("tieline.gateway.webhooks")
_STORE_SECONDS = 8.0
"""Senders wait ten seconds; what is not stored by then may be yet, and is then known when it comes again."""
_RETRY_SECONDS = 5.0
_FORM_BYTES = 3
"""A form takes up to so many bytes for one of the document in it."""


class Told(msgspec.Struct, omit_defaults=True):
    """What the sender is told: accepted, duplicate, ignored, or pong. `id` is that of the event that was stored."""

    status: str
    delivery: str
    id: str = ""


class Ingress:
    """Takes what comes from all senders."""

    def __init__(self, gateway: Gateway, sources: Mapping[str, Source]) -> None:
        self._gateway = gateway
        self._sources = sources
        self._instance: Instance = gateway.events._instance
        self._publisher = Publisher(self._instance)
        self._refusals = Refusals(_log)

    def routes(self) -> list[Route]:
        """What is served."""
        return [Route(f"{PATH}{{source}}", self._serve, methods=["POST"])]

    async def _serve(self, request: Request) -> Response:
        source = self._sources.get(request.path_params["source"])
        if source is None:
            return refusal(NotFoundError("there is no such webhook here"))
        now = time.time()
        try:
            told = await self._take(source, request, now)
        except Exception as error:
            return self._refused(source, error, request, now)
        source.figures.last = int(now * 1000)
        return Response(msgspec.json.encode(told), HTTPStatus.ACCEPTED, media_type=JSON)

    async def _take(self, source: Source, request: Request, now: float) -> Told:
        form = content_type(request.headers).endswith("x-www-form-urlencoded")
        body = await read_body(request, source.max_bytes * (_FORM_BYTES if form else 1))
        arrival = source.kind.read(request.headers, body, source.secrets.current(), now)
        if len(arrival.data) > source.max_bytes:
            raise PayloadTooLargeError(
                f"the document has {len(arrival.data)} bytes, at most {source.max_bytes} are allowed"
            )
        if source.kind_name == "github" and arrival.event == PING:
            _log.debug("%s: ping %s is answered", source.name, arrival.id)
            return Told("pong", arrival.id)
        if not source.wants(arrival.event):
            source.figures.ignored += 1
            _log.debug("%s: %s %s is ignored: its events do not name it", source.name, arrival.event, arrival.id)
            return Told("ignored", arrival.id)
        return await self._keep(source, arrival)

    async def _keep(self, source: Source, arrival: Arrival) -> Told:
        """Store it, unless its delivery is known: one step of the broker."""
        event_id, stored = await self._store(source, arrival)
        if stored.duplicate:
            source.figures.duplicate += 1
            _log.debug("%s: %s %s is known already", source.name, arrival.event, arrival.id)
            return Told("duplicate", arrival.id)
        source.figures.accepted += 1
        if _log.isEnabledFor(logging.DEBUG):
            self._gateway.spawn(self._tell_of_groups(source.topic(arrival.event), arrival.id))
        return Told("accepted", arrival.id, event_id)

    async def _store(self, source: Source, arrival: Arrival) -> tuple[str, Stored]:
        topic, key = source.topic(arrival.event), source.key_of(arrival.document)
        event = compose(EVENT, topic, arrival.data, 0, self._instance, _attributes(arrival), codec.JSON, by_system=True)
        event.id, event.priority = new_id(), contract.PRIORITY_NORMAL
        if key is not None:
            event.key = key
        known_as = f"webhook:delivery:{source.name}:{arrival.id}"
        durable = Durable(key, event.priority, known_as, 0, window=contract.DEFAULT_WEBHOOK_DEDUPE_MS)
        check_durable(durable)
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                return event.id, await self._publisher.keep(event, durable)
        except TimeoutError:
            raise UnavailableError("the broker did not answer in time", outcome=Outcome.MAY_HAVE_RUN) from None

    async def _tell_of_groups(self, topic: str, delivery: str) -> None:
        try:
            if not await self._gateway.events.groups.list(topic):
                _log.debug("%s of %s waits: no group has subscribed to it durably yet", delivery, topic)
        except TielineError as error:
            _log.debug("whether anybody waits for %s is unknown: %s", topic, error)

    def _refused(self, source: Source, error: Exception, request: Request, now: float) -> Response:
        reason = _reason(error)
        if reason is not None:
            _note(source, reason, _text(error), int(now * 1000))
            peer = peer_of(request.scope)
            sentence = f"{source.name}: a delivery from {peer} was refused ({reason}): {_text(error)}"
            self._refusals.tell(sentence, (source.name, peer.rpartition(":")[0], reason))
        if isinstance(error, UnavailableError | OverloadedError):
            error.retry_after = error.retry_after or _RETRY_SECONDS
        return refusal(error)


def _note(source: Source, reason: Reason, why: str, now: int) -> None:
    figures = source.figures
    figures.refused[reason] += 1
    figures.last_refused, figures.last_error = now, why


def _reason(error: Exception) -> Reason | None:
    """What it counts as; None for a defect of ours, which is logged as one."""
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, HttpError):
        error = error.error
    known = (
        (PayloadTooLargeError, Reason.TOO_LARGE),
        (OverloadedError, Reason.OVERLOADED),
        (UnavailableError, Reason.UNAVAILABLE),
        (TielineError, Reason.BODY),
    )
    return next((reason for kind, reason in known if isinstance(error, kind)), None)


def _text(error: Exception) -> str:
    return error.error.message if isinstance(error, HttpError) else str(error)


def _attributes(arrival: Arrival) -> dict[str, str]:
    """What CloudEvents knows of it, as headers of the event."""
    told = {"ce-specversion": "1.0", "ce-id": arrival.id, "ce-source": arrival.source, "ce-type": arrival.type}
    if arrival.subject:
        told["ce-subject"] = arrival.subject
    moment = arrival.time / 1000 if arrival.time else time.time()
    told["ce-time"] = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return told
