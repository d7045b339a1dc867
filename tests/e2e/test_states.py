"""What the dashboard says: the gateway or its broker is away, nobody is signed in, something is not allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, Tab
from tests.gateway.commands import command
from tests.gateway.up import TOKEN, Up
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _but(tab: Tab, *expected: str) -> list[str]:
    """The troubles of a page that are not of these kinds."""
    return [each for each in tab.troubles if not any(kind in each for kind in expected)]


async def test_a_gateway_that_is_lost_and_comes_back(browser: Browser) -> None:
    async with Up(http=True) as up, await browser.tab(up.web) as tab:
        await tab.open("/services")
        await tab.sees("Nobody is there yet")
        await up.close()
        await tab.sees("The gateway does not answer. What you see is from")
        await tab.sees("Nobody is there yet")  # what was there is still to be read
        assert await tab.page.get_by_role("alert").count() == 1
        await up.start()
        await tab.page.wait_for_function("() => !document.querySelector('[role=alert]')")
        await tab.sees("Nobody is there yet")
        assert _but(tab, "ERR_", "status of 503") == []


async def test_a_broker_that_is_away(browser: Browser) -> None:
    with RedisServer() as redis:
        async with Up("--redis-url", redis.url, http=True) as up, await browser.tab(up.web) as tab:
            await tab.open("/")
            await tab.sees("connected")
            await asyncio.to_thread(redis.stop)
            await tab.sees("The gateway is not ready: the broker is away")
            await tab.sees("away")
            await asyncio.to_thread(redis.start)
            await tab.page.wait_for_function("() => !document.querySelector('[role=alert]')")
            assert _but(tab, "ERR_", "status of 50") == []


async def test_an_empty_gateway_names_the_next_command(browser: Browser) -> None:
    async with Up(http=True) as up, await browser.tab(up.web) as tab:
        for path, command in {
            "/services": "python -m tieline run",
            "/calls": "tieline call",
            "/tap": "tieline pub",
            "/history": "tieline up --history",
            "/dead-letters": "tieline dlq list",
            "/groups": "tieline sub",
            "/schedules": "--delay",
            "/cron": "tieline cron create",
            "/webhooks": "tieline up --webhook",
            "/console": "tieline call",
        }.items():
            await tab.open(path)
            await tab.page.locator(".command", has_text=command).first.wait_for()
        assert _but(tab, "status of 503") == []  # nobody keeps history


async def test_signing_in_and_out(browser: Browser, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    async with Up("--token-file", str(secret), http=True) as up, await browser.tab(up.web) as tab:
        await tab.page.goto("/dashboard/schedules?status=failed")
        await tab.sees("Sign in to Tieline")
        await tab.page.get_by_label("Token").fill("not-the-token-at-all-sorry")
        await tab.button("Sign in").click()
        await tab.page.get_by_role("alert").wait_for()
        await tab.page.get_by_label("Token").fill(TOKEN)
        await tab.button("Sign in").click()
        await tab.sees("Nothing is failed")  # the page that was asked for
        await tab.page.goto("/dashboard/console?mode=publish&topic=a.b&data=1")
        await tab.button("Publish").click()
        await tab.sees("published")  # with the token against forgery
        await tab.page.reload()
        await tab.button("Sign out").click()
        await tab.sees("Sign in to Tieline")
        assert _but(tab, "status of 401") == []


async def test_what_is_not_allowed_is_said_and_the_rest_works(browser: Browser, tmp_path: Path) -> None:
    tokens = str(tmp_path / "tokens.json")
    made = await command(
        "token", "create", "orders", "--tokens", tokens, "--subscribe", "order.>", "--publish", "order.>"
    )
    async with Up("--tokens", tokens, http=True) as up, await browser.tab(up.web) as tab:
        await tab.page.goto("/dashboard/services")
        await tab.page.get_by_label("Token").fill(made.out.split()[-1])
        await tab.button("Sign in").click()
        await tab.sees("You are not allowed to see or do this")
        await tab.sees("orders may not admin")
        await tab.open("/tap?topic=order.*")
        await tab.sees("live")
        await tab.open("/console?mode=publish&topic=order.placed&data=1")
        await tab.button("Publish").click()
        await tab.sees("published")
        await tab.page.get_by_label("Topic").fill("user.created")
        await tab.button("Publish").click()
        await tab.sees("orders may not publish")
        assert _but(tab, "status of 401", "status of 403") == []
