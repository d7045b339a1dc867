"""A browser and a shop to look at, for all tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.e2e.browser import Browser, Tab
from tests.e2e.shop import Shop


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium."""
    async with Browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop(tmp_path_factory: object) -> AsyncIterator[Shop]:
    """A shop with all there is to see, on a gateway that keeps history and takes webhooks."""
    folder = tmp_path_factory.mktemp("shop")  # type: ignore[attr-defined]
    secret = folder / "secret"
    secret.write_text("a-secret-that-nobody-guesses")
    async with Shop("--history", f"sqlite://{folder}/history", "--webhook", f"github={secret}") as opened:
        await opened.fill()
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser, shop: Shop) -> AsyncIterator[Tab]:
    """A page; at the end its console must have been silent, and nobody but the gateway asked."""
    async with await browser.tab(shop.up.web) as opened:
        yield opened
        assert opened.troubles == []
