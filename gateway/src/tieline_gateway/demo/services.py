"""A small shop in three services: they call each other, store events, plan some, and fail now and then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import TypedDict

from tieline.context import Event
from tieline.durable.retry_policy import RetryPolicy
from tieline.events import EventSystem

PRICES = {"tea": 3.5, "mug": 9.0, "kettle": 39.0}
_FAILS = 13
_random = random.Random()  # noqa: S311


class Order(TypedDict):
    """What somebody buys."""

    customer: str
    sku: str
    count: int


class Placed(TypedDict):
    """An order that was placed."""

    id: int
    customer: str
    total: float


def shop(url: str) -> EventSystem:
    """Takes orders: calls the stock, stores what was ordered, and plans a reminder."""
    events = EventSystem(url, service="shop")
    placed = 0

    @events.subscribe("shop.price", group="shop")
    async def price(sku: str) -> float:
        if sku not in PRICES:
            raise LookupError(f"we do not sell {sku!r}; we sell {', '.join(PRICES)}")
        return PRICES[sku]

    @events.subscribe("shop.catalogue", group="shop")
    async def catalogue() -> AsyncIterator[str]:
        for sku in PRICES:
            yield sku

    @events.subscribe("order.place", group="shop")
    async def place(order: Order) -> Placed:
        nonlocal placed
        await events.publish_and_wait("stock.reserve", order)
        placed += 1
        done = Placed(id=placed, customer=order["customer"], total=PRICES[order["sku"]] * order["count"])
        await events.publish("order.placed", done, key=order["customer"])
        await events.publish("order.remind", {"id": placed}, delay=3600)
        return done

    return events


def stock(url: str) -> EventSystem:
    """Has things, and runs out of them now and then."""
    events = EventSystem(url, service="stock")

    @events.subscribe("stock.reserve", group="stock")
    async def reserve(order: Order) -> int:
        await asyncio.sleep(_random.expovariate(200))
        if order["sku"] == "kettle" and _random.random() < 0.2:
            raise LookupError("no kettle left")
        left = _random.randrange(100)
        await events.publish("stock.changed", {"sku": order["sku"], "left": left})
        return left

    @events.subscribe("stock.counted")
    async def counted(data: None, event: Event) -> int:
        return _random.randrange(1000)

    return events


def billing(url: str) -> EventSystem:
    """Bills what was ordered, in the order of each customer; a bill in thirteen cannot be sent."""
    events = EventSystem(url, service="billing")
    policy = RetryPolicy(max_attempts=2, backoff=0.5)

    @events.subscribe("order.placed", durable=True, group="billing", retry=policy, on_poison="dead_letter")
    async def bill(order: Placed) -> None:
        await asyncio.sleep(_random.expovariate(100))
        if order["id"] % _FAILS == 1:
            raise ValueError(f"{order['customer']} has no address")

    @events.subscribe("order.placed", durable=True, group="statistics")
    async def count(order: Placed) -> None:
        """Nothing; a second group that has all of them, too."""

    @events.subscribe("order.remind")
    async def remind(order: dict[str, int]) -> None:
        """Nobody is reminded in a demo."""

    return events
