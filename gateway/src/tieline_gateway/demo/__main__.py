"""`python -m tieline_gateway.demo`: the services of the demo, and somebody who buys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random

from tieline.errors import AlreadyExistsError, TielineError
from tieline.events import EventSystem
from tieline.signals import stop_signals
from tieline_gateway.demo.beside import OPEN, URL
from tieline_gateway.demo.services import PRICES, Order, billing, shop, stock
from tieline_gateway.run import PARENT, end_with

_CUSTOMERS = ("ada", "brian", "chen", "dora", "emil")
_PAUSE_SECONDS = 0.25
_STRANGE = 40
_random = random.Random()  # noqa: S311


async def main(url: str) -> None:
    """Run until SIGTERM, or until the gateway is gone."""
    logging.getLogger("tieline").addHandler(logging.NullHandler())  # what fails here is meant to
    stop = asyncio.Event()
    with stop_signals(stop.set):
        async with shop(url), stock(url), billing(url), EventSystem(url, service="web") as web:
            await _plan(web)
            print(OPEN, flush=True)  # to who began this process
            buying = asyncio.create_task(_buy(web))
            await stop.wait()
            buying.cancel()


async def _plan(web: EventSystem) -> None:
    """A task that recurs, and events for later."""
    with contextlib.suppress(AlreadyExistsError):
        await web.cron.create("stock-count", "every 10s", "stock.counted", call=True, ttl=5)
    await web.publish("newsletter.send", {"issue": 1}, delay=86_400)


async def _buy(web: EventSystem) -> None:
    """Somebody buys, a few times a second; now and then what is not sold."""
    bought = 0
    while True:
        bought += 1
        sku = "unicorn" if bought % _STRANGE == 0 else _random.choice(list(PRICES))
        order = Order(customer=_random.choice(_CUSTOMERS), sku=sku, count=_random.randrange(1, 4))
        with contextlib.suppress(TielineError):
            await web.publish_and_wait("shop.price", sku, ttl=5)
            await web.publish_and_wait("order.place", order, ttl=5)
        await asyncio.sleep(_PAUSE_SECONDS * _random.uniform(0.5, 1.5))


if __name__ == "__main__":
    if os.environ.get(PARENT, "").isdecimal():
        end_with(int(os.environ[PARENT]))
    asyncio.run(main(os.environ[URL]))
