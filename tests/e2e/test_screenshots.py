"""The pictures of the README: the dashboard of a busy shop. UPDATE_SCREENSHOTS=1 writes those in docs/images."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.browser import Browser, Tab
from tests.e2e.shop import Shop
from tests.gateway.http.streams import reading
from tests.gateway.up import WebClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / ("docs/images" if os.environ.get("UPDATE_SCREENSHOTS") else "build/images")
_MOST_BYTES = 200_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def busy(shop: Shop) -> AsyncIterator[Shop]:
    """A shop with customers, for as long as pictures are taken."""
    trade = asyncio.create_task(shop.trade(600))
    watch = asyncio.create_task(_watch(shop))  # what nobody looks at is not remembered
    yield shop
    trade.cancel()
    watch.cancel()


async def _watch(shop: Shop) -> None:
    async with WebClient(shop.up) as web, reading(web, "GET", "/v1/overview/stream") as stream:
        async for _ in stream:
            pass


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_overview(browser: Browser, busy: Shop, colours: str) -> None:
    async with await browser.tab(busy.up.web, color_scheme=colours) as tab:
        await tab.open("/")
        await tab.sees("connected")
        seconds = "() => /Up for([3-9][0-9]|[0-9]+\\u202fmin)/.test(document.body.textContent)"
        await tab.page.wait_for_function(seconds)
        await _picture(tab, f"overview-{colours}")


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_call(browser: Browser, busy: Shop, colours: str) -> None:
    chain = await busy.sell(90_000 + len(colours))
    async with await browser.tab(busy.up.web, color_scheme=colours) as tab:
        await tab.open(f"/calls/{chain}")
        await tab.row("stock.asked").last.wait_for()
        await _picture(tab, f"call-{colours}")


async def test_dead_letters(browser: Browser, busy: Shop) -> None:
    async with await browser.tab(busy.up.web) as tab:
        await tab.open("/dead-letters")
        await tab.row("chair").get_by_role("checkbox").check()
        await _picture(tab, "dead-letters-light")


async def _picture(tab: Tab, name: str) -> None:
    await asyncio.to_thread(_FOLDER.mkdir, parents=True, exist_ok=True)
    path = _FOLDER / f"{name}.png"
    await tab.page.screenshot(path=path, animations="disabled")
    assert 10_000 < path.stat().st_size < _MOST_BYTES
    assert tab.troubles == []
