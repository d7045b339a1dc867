"""Outbound: a durable subscription of the gateway's that posts each event to a URL, until it is taken or given up."""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import Any

from tieline._contract.contract import SYSTEM_WARNING
from tieline.context import Event
from tieline.errors import InvalidPayloadError, TielineError
from tieline.subscription import Subscription
from tieline_gateway.gateway import Gateway
from tieline_gateway.webhooks.delivery_table import DeliveryTable
from tieline_gateway.webhooks.figures import DeliveryFigures
from tieline_gateway.webhooks.message import message
from tieline_gateway.webhooks.posting import Answer, NotSentError, Poster

_log = logging.getLogger("tieline.gateway.webhooks")
_MARGIN_SECONDS = 5.0
_LONGEST_PAUSE, _SHORTEST_PAUSE = 3_600.0, 1.0
_GONE_PAUSE = 1.0
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class Delivery:
    """Sends the events of one topic to one URL. Made of its table.

    Raises:
        SettingsError: its secrets cannot be read.

    """

    def __init__(self, name: str, table: DeliveryTable, gateway: Gateway) -> None:
        self.name = name
        self.table = table
        self.group = table.group_of(name)
        self.figures = DeliveryFigures()
        self.stopped = False
        """It was answered 410 Gone; nothing more is sent until somebody has it go on."""
        self._secrets = table.secrets(name)
        self._poster = Poster(table.url, table.guard(), table.tls(), table.concurrency, table.timeout)
        self._gateway = gateway
        self._subscription: Subscription | None = None
        self._changing = asyncio.Lock()

    async def start(self) -> None:
        """Subscribe. Without the broker that is made up for later."""
        table = self.table
        self._subscription = self._gateway.events.subscribe(
            table.topic,
            self._send,
            durable=True,
            group=self.group,
            name=f"delivery {self.name}",
            start=table.start,
            concurrency=table.concurrency,
            timeout=table.timeout + _MARGIN_SECONDS,
            retry=table.policy(),
            on_poison=table.on_poison,
        )
        await self._subscription.ready()

    async def resume(self) -> None:
        """Go on after a 410, with what waits in the group; nothing happens if it runs.

        Raises:
            TielineError: the broker is away.

        """
        async with self._changing:
            if self.stopped:
                self.stopped = False
                await self.start()
                _log.info("%s: it goes on, as somebody asked for", self.name)

    async def waiting(self) -> int | None:
        """How many events are still to be sent, by all gateways; None if the broker cannot tell."""
        try:
            groups = await self._gateway.events.groups.list(self.table.topic)
        except TielineError:
            return None
        return sum(group.waiting for group in groups if group.name == self.group)

    async def stop(self) -> None:
        """Begin nothing new, and return when what is being sent was answered."""
        await self._leave()
        await self._poster.aclose()

    async def _leave(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _send(self, _data: Any, event: Event) -> None:
        assert event.delivery is not None
        if self.stopped:
            event.delivery.nack(_GONE_PAUSE, "it is not sent: the address answered 410 Gone before")
            return
        try:
            prepared, now = message(event, alone=self.table.body == "payload"), time.time()
        except InvalidPayloadError as error:
            event.delivery.reject(f"{self.name}: it cannot be sent as JSON: {error.message}")
            return
        try:
            answer = await self._poster.post(prepared.signed(self._secrets.current(), now), prepared.body, now)
        except NotSentError as error:
            self._failed(event, 0, str(error), None)
            return
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            self._delivered(answer.status)
        else:
            self._refused(event, answer)

    def _delivered(self, status: int) -> None:
        figures = self.figures
        figures.delivered += 1
        figures.last, figures.last_status, figures.last_error = int(time.time() * 1000), status, ""

    def _refused(self, event: Event, answer: Answer) -> None:
        if answer.status == HTTPStatus.GONE:
            self._gone(event)
            return
        pause = None
        if answer.status in _BUSY and answer.retry_after is not None:
            pause = min(max(answer.retry_after, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        moved = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        self._failed(event, answer.status, f"it was answered {answer.status}{moved}", pause)

    def _failed(self, event: Event, status: int, why: str, pause: float | None) -> None:
        figures = self.figures
        figures.failed += 1
        figures.last, figures.last_status, figures.last_error = int(time.time() * 1000), status, why
        assert event.delivery is not None
        event.delivery.nack(pause, f"{self.name}: {why}")

    def _gone(self, event: Event) -> None:
        """Nobody wants it there any more: what is stored waits in the group until somebody looks."""
        self._failed(
            event, HTTPStatus.GONE, "it was answered 410: nothing more is sent until it is resumed", _GONE_PAUSE
        )
        if not self.stopped:
            self.stopped = True
            resume = f"tieline webhook resume {self.name}"
            _log.warning("%s: %s answered 410 Gone; it has stopped (%s)", self.name, self.table.origin, resume)
            self._gateway.spawn(self._halt())

    async def _halt(self) -> None:
        """Take nothing more, and say so."""
        async with self._changing:
            if self.stopped:
                await self._leave()
        await self._say_gone()

    async def _say_gone(self) -> None:
        events = self._gateway.events
        payload = {
            "kind": "delivery_stopped",
            "service": events.service,
            "instance": events.instance,
            "topic": self.table.topic,
            "delivery": self.name,
            "left_out": 0,
        }
        try:
            await events._publish_system(SYSTEM_WARNING, payload)
        except TielineError as error:
            _log.debug("%s was not published: %s", SYSTEM_WARNING, error)
