"""A small shop behind a gateway: services, events that wait, fail and are planned. What the dashboard is to show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Self, TypedDict

from tests.gateway.up import Up, system
from tieline import Event, EventSystem, RetryPolicy

_SECONDS = 30.0
EVIL = '<img src=x onerror="document.title=1">'
"""Must only ever be text."""
EVIL_KEY = "<b id=evil>key"


class Item(TypedDict):
    """Of a basket."""

    name: str
    price: int


class Basket(TypedDict):
    """What somebody wants to buy."""

    customer: str
    items: list[Item]


class Shop:
    """Opens with a gateway and three services on it; `async with`."""

    def __init__(self, *options: str, **gateway: Any) -> None:
        self.up = Up(*options, http=True, **gateway)
        self.broken = True
        self.handled: list[Any] = []
        self.held = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.up)
        self.events = await self._system("checkout")
        self.prices = await self._system("prices")
        self.stock = await self._system("stock")
        await asyncio.gather(*self._subscriptions())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.held.set()
        await self._stack.aclose()

    async def _system(self, service: str) -> EventSystem:
        return await self._stack.enter_async_context(system(self.up, service=service))

    def _subscriptions(self) -> list[Any]:
        once = RetryPolicy(max_attempts=1)
        checkout, prices, stock = self.events, self.prices, self.stock
        return [
            checkout.subscribe("basket.total", self._total).ready(),
            prices.subscribe("price.sum", self._sum).ready(),
            prices.subscribe("price.feed", self._feed).ready(),
            prices.subscribe("price.refuse", self._refuse).ready(),
            prices.subscribe("price.slow", self._slow).ready(),
            stock.subscribe(
                "order.placed", self._reserve, durable=True, group="stock", retry=once, on_poison="dead_letter"
            ).ready(),
            stock.subscribe(
                "order.shipped", self._ship, durable=True, group="parcels", retry=once, on_poison="park"
            ).ready(),
            stock.subscribe("stock.*", lambda level: None, observe=True).ready(),
        ]

    async def _total(self, basket: Basket) -> dict[str, Any]:
        total = await self.events.publish_and_wait("price.sum", [item["price"] for item in basket["items"]])
        await self.events.publish("stock.asked", {"for": basket["customer"]})
        return {"customer": basket["customer"], "total": total}

    async def _sum(self, prices: list[int]) -> int:
        await asyncio.sleep(0.008)
        return sum(prices)

    async def _feed(self, start: int) -> AsyncIterator[int]:
        for price in range(start, 0, -1):
            yield price

    def _refuse(self, _data: Any) -> None:
        raise ValueError(f"no such price {EVIL}")

    async def _slow(self, _data: Any) -> str:
        await self.held.wait()
        return "at last"

    async def _reserve(self, order: dict[str, Any], event: Event) -> None:
        if self.broken and order.get("broken"):
            raise LookupError(f"no shelf holds {order['article']}")
        self.handled.append(order)

    async def _ship(self, parcel: dict[str, Any]) -> None:
        if self.broken and parcel.get("broken"):
            raise ConnectionError("the carrier does not answer")
        self.handled.append(parcel)

    async def fill(self) -> None:
        """Have some of everything there: letters, parked keys, schedules, tasks."""
        events = self.events
        for number, article in enumerate(["lamp", EVIL, "chair", "desk"]):
            order = {"id": 7000 + number, "article": article, "broken": True}
            await events.publish("order.placed", order, key=EVIL_KEY if number == 1 else f"customer-{number}")
        await events.publish("order.shipped", {"id": 9, "broken": True}, key="parcel-9")
        await events.publish("order.shipped", {"id": 10}, key="parcel-9")
        for hours, topic in enumerate(["reminder.send", "invoice.dun", "trial.ends"], start=1):
            await events.publish(topic, {"customer": f"c-{hours}"}, delay=3_600.0 * hours)
        await events.cron.create(
            "report/nightly", "0 3 * * *", "report.make", {"of": "yesterday"}, zone="Europe/Berlin"
        )
        await events.cron.create("stock/check", "every 6h", "stock.asked", {"for": "cron"})
        async with asyncio.timeout(_SECONDS):
            while len(await events.dead_letters.list("order.placed")) < 4 or not await self._parked():
                await asyncio.sleep(0.05)

    async def _parked(self) -> list[Any]:
        return await self.events.parked.list("order.shipped", group="parcels")

    async def trade(self, seconds: float) -> None:
        """Let it be busy for a while."""
        until = asyncio.get_running_loop().time() + seconds
        number = 0
        while asyncio.get_running_loop().time() < until:
            number += 1
            await self.sell(number)
            await asyncio.sleep(0.02 + 0.02 * (number % 3))

    async def sell(self, number: int) -> str:
        """One customer comes; returns the correlation id."""
        chain = f"basket-{number:05d}"
        basket = {"customer": f"c-{number}", "items": [{"name": "lamp", "price": 40}, {"name": "desk", "price": 210}]}
        await self.prices.publish_and_wait("basket.total", basket, correlation_id=chain)
        await self.prices.publish("stock.level", {"article": "lamp", "left": 100 - number % 50})
        return chain
