"""The dashboard for those who see little, hear it read out, or have no mouse: contrast, names, focus, less motion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.browser import Browser
from tests.e2e.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = ("/", "/services/prices", "/calls", "/tap", "/history", "/dead-letters", "/groups/order.shipped", "/schedules",
         "/cron", "/webhooks", "/console")  # fmt: skip
LEAST_CONTRAST = 4.5
LEAST_CONTRAST_OF_LARGE = 3.0

# WCAG 2.1: relative luminance of the colours of each text and of what is behind it.
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], a: a / 255 };
  };
  const over = (top, under) => top.rgb.map((value, at) => value * top.a + under[at] * (1 - top.a));
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const { rgb, a } = read(getComputedStyle(each).backgroundColor);
      if (a) layers.push({ rgb, a });
      if (a === 1) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const unseen = !element.checkVisibility() || element.closest(":disabled, .hidden, .skip, option");
    if (!node.data.trim() || unseen) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const ink = over(read(style.color), ground);
    const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    found.push([(high + 0.05) / (low + 0.05), large, node.data.trim().slice(0, 40)]);
  }
  return found;
}"""

# What can be used and has no name that could be read out.
NAMELESS = """() => [...document.querySelectorAll("a[href], button, input, select, textarea")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim()))
  .filter((each) => !each.labels?.[0]?.textContent.trim())
  .map((each) => each.outerHTML.slice(0, 120))"""

FOCUSED = """() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return [document.activeElement.textContent.trim().slice(0, 30), outlineStyle, parseFloat(outlineWidth)];
}"""

MOVING = """() => document.getAnimations().length"""


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_every_text_can_be_read_and_everything_has_a_name(browser: Browser, shop: Shop, colours: str) -> None:
    async with await browser.tab(shop.up.web, color_scheme=colours) as tab:
        for path in PAGES:
            await tab.open(path)
            told: list[Any] = await tab.page.evaluate(CONTRAST)
            assert len(told) > 10
            poor = [each for each in told if each[0] < (LEAST_CONTRAST_OF_LARGE if each[1] else LEAST_CONTRAST)]
            assert poor == [], path
            assert await tab.page.evaluate(NAMELESS) == [], path
            assert await tab.page.locator("h1").count() == 1, path


async def test_focus_is_seen_and_goes_in_the_order_of_the_page(browser: Browser, shop: Shop) -> None:
    async with await browser.tab(shop.up.web) as tab:
        await tab.open("/dead-letters")
        seen: list[str] = []
        for _ in range(14):
            await tab.page.keyboard.press("Tab")
            text, style, width = await tab.page.evaluate(FOCUSED)
            assert style != "none", text
            assert width >= 2, text
            seen.append(text)
        assert seen[:4] == ["Skip to the content", "Tieline", "Overview", "Services"]
        await tab.page.keyboard.press("Escape")  # leaves a field, where ? is a letter
        await tab.page.keyboard.press("?")
        await tab.page.get_by_role("dialog").wait_for()
        await tab.page.keyboard.press("Escape")
        await tab.page.get_by_role("dialog").wait_for(state="detached")


async def test_nothing_moves_for_whoever_wants_less_motion(browser: Browser, shop: Shop) -> None:
    async with await browser.tab(shop.up.web, reduced_motion="reduce") as tab:
        for path in ("/", "/tap", "/services"):
            await tab.page.goto(f"/dashboard{path}")
            await tab.page.locator("main h1").wait_for()
            assert await tab.page.evaluate(MOVING) == 0, path
