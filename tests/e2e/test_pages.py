"""Every page of the dashboard in a real Chromium: it loads, it shows what is there, it asks nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.e2e.browser import Browser, Tab
from tests.e2e.shop import EVIL, EVIL_KEY, Shop
from tests.gateway.up import system

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = {
    "/": "connected",
    "/services": "basket.total",
    "/services/prices": "price.feed",
    "/calls": "No call is under way",
    "/tap": "Event tap",
    "/history": "order.placed",
    "/dead-letters": "no shelf holds lamp",
    "/groups": "parcels",
    "/groups/order.shipped": "the carrier does not answer",
    "/schedules": "invoice.dun",
    "/cron": "report/nightly",
    "/cron/report/nightly": "Europe/Berlin",
    "/webhooks": "/webhooks/github",
    "/console": "Nothing sent yet",
    "/nowhere": "There is no such page",
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_shows_what_is_there(tab: Tab, path: str) -> None:
    await tab.open(path)
    await tab.sees(PAGES[path])
    assert "Tieline" in await tab.page.title()


async def test_a_deep_link_is_what_it_was_after_a_reload(tab: Tab) -> None:
    await tab.open("/dead-letters")
    await tab.page.get_by_label("Topic").fill("order.placed")
    await tab.page.get_by_label("Key").fill("customer-2")
    await tab.page.wait_for_url("**/dashboard/dead-letters?topic=order.placed&key=customer-2")
    await tab.page.reload()
    await tab.row("chair").wait_for()
    assert await tab.page.locator("tbody tr").count() == 1
    await tab.row("chair").get_by_role("link", name="order.placed").click()
    await tab.sees("customer-2")
    await tab.page.go_back()
    assert await tab.page.get_by_label("Key").input_value() == "customer-2"


async def test_where_a_call_went(tab: Tab, shop: Shop) -> None:
    chain = await shop.sell(1)
    await tab.open(f"/calls/{chain}")
    await tab.sees("no failure")
    for service in ("checkout", "prices"):
        await tab.page.locator(".timeline .lane", has_text=service).wait_for()
    assert await tab.page.locator(".timeline .dot").count() == await tab.page.locator("tbody tr").count() >= 8


async def test_a_call_under_way_is_shown_until_it_ends(tab: Tab, shop: Shop) -> None:
    call = asyncio.create_task(shop.events.publish_and_wait("price.slow", 1, ttl=120))
    await tab.open("/calls")
    await tab.row("price.slow").wait_for()
    shop.held.set()
    assert await call == "at last"
    await tab.sees("No call is under way")


async def test_what_goes_by_is_tapped_filtered_and_paused(tab: Tab, shop: Shop) -> None:
    await tab.open("/tap?topic=stock.*")
    await tab.sees("live")
    await shop.events.publish("stock.level", {"article": "seen", "html": EVIL}, headers={"shelf": "12"})
    await tab.row("stock.level").wait_for()
    await tab.button('{"article":"seen"').click()
    await tab.sees("12")
    await tab.page.get_by_label("Only with this text").fill("nothing of this kind")
    await tab.sees("None of what went by has this text")
    await tab.page.get_by_label("Only with this text").fill("")
    await tab.page.locator("h1").click()
    await tab.page.keyboard.press("p")
    await tab.sees("paused")
    await shop.events.publish("stock.level", {"article": "unseen"})
    await asyncio.sleep(0.5)
    assert await tab.row("unseen").count() == 0
    await tab.button("Go on").click()
    await tab.row("unseen").wait_for()


async def test_foreign_text_is_only_ever_text(tab: Tab, shop: Shop) -> None:
    for path, text in {
        "/dead-letters": EVIL,
        f"/calls/{EVIL.replace('/', '')}": "Nobody remembers",
        "/tap?topic=<img src=x onerror=1>": "Event tap",
        "/history": "order.placed",
    }.items():
        await tab.page.goto(f"/dashboard{path}")
        await tab.sees(text)
        assert await tab.page.locator("main img, main b").count() == 0
        assert "Tieline" in await tab.page.title()
    tab.troubles = [each for each in tab.troubles if "400" not in each]  # the pattern of the tap is refused
    async with system(shop.up, service="odd") as odd:
        await odd.subscribe("named.oddly", lambda data: data, schema_version=EVIL_KEY).ready()
        await tab.open("/services/odd")
        await tab.row(EVIL_KEY).wait_for()
        assert await tab.page.locator("main img, main b").count() == 0
    await tab.open("/dead-letters")
    await tab.row(EVIL_KEY).get_by_role("link", name="order.placed").click()
    await tab.sees(f"no shelf holds {EVIL}")
    assert await tab.page.locator("main img, main b, #evil").count() == 0


async def test_figures_and_charts_follow_what_goes_on(tab: Tab, shop: Shop) -> None:
    trade = asyncio.create_task(shop.trade(60))
    await tab.open("/")
    await tab.page.wait_for_function(
        "() => [...document.querySelectorAll('.tile')].some((tile) => /^Calls[1-9]/.test(tile.textContent))"
    )
    assert await tab.page.locator("canvas").count() == 2
    trade.cancel()


async def test_jumps_help_and_search_by_keyboard(tab: Tab) -> None:
    await tab.open("/")
    for keys, title in {"g d": "Dead letters", "g s": "Services", "g o": "Overview", "g c": "Calls"}.items():
        for key in keys.split():
            await tab.page.keyboard.press(key)
        await tab.page.get_by_role("heading", level=1, name=title).wait_for()
    await tab.page.keyboard.press("/")
    await tab.page.keyboard.type("g s ?")  # is written, and jumps nowhere
    assert await tab.page.get_by_label("Explain").input_value() == "g s ?"
    await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("?")
    await tab.page.get_by_role("dialog", name="Keyboard").wait_for()
    await tab.page.keyboard.press("Escape")
    await tab.page.get_by_role("dialog", name="Keyboard").wait_for(state="hidden")


async def test_dark_is_chosen_and_stays(tab: Tab, browser: Browser, shop: Shop) -> None:
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    await tab.open("/services")
    light = await tab.page.evaluate(ground)
    await tab.page.get_by_label("Colours").select_option("dark")
    dark = await tab.page.evaluate(ground)
    assert dark != light
    await tab.page.reload()
    assert await tab.page.evaluate(ground) == dark
    async with await browser.tab(shop.up.web, color_scheme="dark") as other:
        await other.open("/services")
        assert await other.page.evaluate(ground) == dark


@pytest.mark.parametrize("path", ["/dead-letters", "/services", "/schedules", "/"])
async def test_nothing_is_cut_off_on_a_narrow_window(tab: Tab, path: str) -> None:
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    await tab.open(path)
    width = "() => document.documentElement.scrollWidth"
    assert await tab.page.evaluate(width) <= 390


async def test_every_control_has_a_name(tab: Tab) -> None:
    for path in PAGES:
        await tab.open(path)
        nameless: list[Any] = await tab.page.evaluate(
            """() => [...document.querySelectorAll("button, a[href], input, select, textarea")]
                .filter((each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length))
                .map((each) => each.outerHTML)"""
        )
        assert nameless == [], path
        assert await tab.page.locator("h1").count() == 1


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_text_can_be_read_on_its_ground(browser: Browser, shop: Shop, colours: str) -> None:
    on_ground = [(ink, ground) for ink in _INKS for ground in ("ground", "surface", "sunken")]
    pairs = [*on_ground, *((name, f"{name}-soft") for name in ("good", "warn", "bad")), ("on-accent", "accent")]
    async with await browser.tab(shop.up.web, color_scheme=colours) as tab:
        await tab.open("/nowhere")
        weak = {pair: await tab.page.evaluate(_CONTRAST, list(pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}  # WCAG 2, level AA


_INKS = ("ink", "ink-soft", "ink-faint", "accent", "good", "warn", "bad")
_CONTRAST = """(names) => {
    const bright = (name) => {
        const probe = document.body.appendChild(document.createElement("p"));
        probe.style.color = `var(--${name})`;
        const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).map((part) => part / 255);
        probe.remove();
        const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [one, other] = names.map(bright).sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
}"""


async def test_files_are_revalidated_and_nothing_else_is_served(shop: Shop) -> None:
    async with httpx.AsyncClient(base_url=shop.up.web, trust_env=False) as web:
        first = await web.get("/dashboard/static/app.js")
        assert "default-src 'none'" in first.headers["content-security-policy"]
        again = await web.get("/dashboard/static/app.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for path in ("/dashboard/static/../../settings.py", "/dashboard/static/%2e%2e/%2e%2e/settings.py"):
            missing = await web.get(path)
            assert b"import" not in missing.content
        assert (await web.get("/dashboard/static/none.js")).status_code == 404
        assert (await web.get("/")).headers["location"] == "/dashboard/"
