"""A real Chromium, and pages in it that keep what went wrong there."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from playwright.async_api import Browser as Chromium
from playwright.async_api import ConsoleMessage, Locator, Page, Request, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_HERE = Path(__file__).parent
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-color-profile=srgb",
    "--font-render-hinting=none", "--hide-scrollbars",
]  # fmt: skip
WAIT_MS = 30_000
SIZE = {"width": 1280, "height": 800}


class Found(NamedTuple):
    """A Chromium, and what its environment needs."""

    executable: str
    env: dict[str, str]


@cache
def find_chromium() -> Found:
    """The one of TEST_CHROMIUM or on PATH, else the one that the npm package here unpacks."""
    for name in (os.environ.get("TEST_CHROMIUM", ""), *_NAMES):
        if name and (found := shutil.which(name)):
            return Found(found, {})
    unpacked = subprocess.run(["node", _HERE / "chromium.mjs"], capture_output=True, text=True, check=False)
    if unpacked.returncode:
        raise FileNotFoundError(f"no chromium on PATH, and `make setup` brought none: {unpacked.stderr}")
    return Found(**json.loads(unpacked.stdout))


class Browser:
    """Chromium without a window; `async with`."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._chromium: Chromium | None = None

    async def __aenter__(self) -> Self:
        playwright = await self._stack.enter_async_context(async_playwright())
        found = await asyncio.to_thread(find_chromium)
        self._chromium = await playwright.chromium.launch(
            executable_path=found.executable, args=_FLAGS, env={**os.environ, **found.env}
        )
        self._stack.push_async_callback(self._chromium.close)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def tab(self, origin: str, **options: Any) -> Tab:
        """A page of a visitor of their own: no cookies, nothing stored."""
        assert self._chromium is not None
        options = {"viewport": SIZE, "locale": "en-GB", "timezone_id": "UTC", "color_scheme": "light", **options}
        context = await self._chromium.new_context(base_url=origin, **options)
        context.set_default_timeout(WAIT_MS)
        return Tab(await context.new_page(), origin)


class Tab:
    """One page; `troubles` is what its console said and what it asked of others."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.troubles: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", self._asked)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.page.context.close()

    async def open(self, path: str) -> None:
        """Go to a page below /dashboard, and wait until it has its data."""
        await self.page.goto(f"/dashboard{path}")
        await self.page.locator("main h1").wait_for()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being loaded any more."""
        await self.page.wait_for_function("() => !document.querySelector('[aria-busy]')")

    def row(self, text: str) -> Locator:
        """The row of a table that has this text."""
        return self.page.locator("tbody tr", has_text=text)

    def button(self, name: str) -> Locator:
        """A button by its name."""
        return self.page.get_by_role("button", name=name)

    async def sees(self, text: str) -> None:
        """Wait until this is to be read."""
        await self.page.locator("body", has_text=text).wait_for()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.troubles.append(f"asked {request.url}")
