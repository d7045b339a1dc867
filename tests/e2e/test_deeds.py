"""What people do on the dashboard: try, redrive, edit, cancel, pause, unpark, replay, delete; what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.browser import WAIT_MS, Tab
from tests.e2e.shop import Shop
from tieline import TielineError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while not true():
            await asyncio.sleep(0.02)


async def test_a_call_is_tried_and_explained(tab: Tab) -> None:
    await tab.open("/services/prices")
    await tab.row("price.sum").get_by_role("link", name="Try").click()
    await tab.button("Insert an example").click()
    await tab.page.get_by_label("Payload").fill("[40, 2]")
    await tab.button("Call").click()
    await tab.page.get_by_label("What came of it").get_by_text("42").wait_for()
    assert "topic=price.sum" in tab.page.url
    await tab.page.get_by_role("link", name="Where it went").click()
    await tab.row("completed").first.wait_for()


async def test_an_event_is_published(tab: Tab, shop: Shop) -> None:
    await tab.open("/console?mode=publish&topic=order.shipped")
    await tab.page.get_by_label("Payload").fill('{"id": 11, "by": "hand"}')
    await tab.page.get_by_label("Key").fill("parcel-11")
    await tab.page.keyboard.press("Control+Enter")
    await tab.sees("stored")
    await until(lambda: {"id": 11, "by": "hand"} in shop.handled)


async def test_what_is_wrong_is_told_as_it_is(tab: Tab) -> None:
    await tab.open("/console?topic=nobody.home&data=1")
    await tab.button("Call").click()
    alert = tab.page.get_by_role("alert")
    await alert.get_by_text("NO_RESPONDERS").wait_for()
    assert "nothing was delivered" in await alert.inner_text()
    await tab.page.get_by_label("Topic").fill("price.refuse")
    await tab.button("Call").click()
    await alert.get_by_text("no such price").wait_for()
    told = await alert.inner_text()
    assert all(part in told for part in ("HANDLER_ERROR", "ValueError", "it ran"))
    await tab.page.get_by_label("Payload").fill("{")
    await tab.button("Call").click()
    await alert.get_by_text("The payload is no JSON").wait_for()
    tab.troubles = [each for each in tab.troubles if "status of 50" not in each]  # those of the two calls


async def test_a_dead_letter_is_put_back(tab: Tab, shop: Shop) -> None:
    shop.broken = False
    await tab.open("/dead-letters")
    await tab.row("no shelf holds lamp").get_by_role("checkbox").check()
    await tab.button("Redrive 1 letter").click()
    await tab.sees("1 dead letter put back.")
    await tab.row("no shelf holds lamp").wait_for(state="detached")
    await until(lambda: any(each.get("article") == "lamp" for each in shop.handled))


async def test_a_dead_letter_is_put_back_with_another_payload(tab: Tab, shop: Shop) -> None:
    await tab.open("/dead-letters")
    await tab.row("no shelf holds chair").get_by_role("link", name="order.placed").click()
    await tab.button("Edit and redrive…").click()
    dialog = tab.page.get_by_role("dialog")
    payload = dialog.get_by_label("Payload")
    assert '"article": "chair"' in await payload.input_value()
    await payload.fill('{"article": ')
    await dialog.get_by_text("This is no JSON").wait_for()
    await payload.fill('{"article": "armchair"}')
    await dialog.get_by_role("button", name="Redrive").click()
    await tab.sees("It was put back with the new payload.")
    await until(lambda: {"article": "armchair"} in shop.handled)


async def test_dead_letters_are_deleted_after_a_question(tab: Tab, shop: Shop) -> None:
    await tab.open("/dead-letters?topic=order.placed")
    await tab.row("no shelf holds desk").wait_for()
    await tab.button("Delete all…").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await tab.row("no shelf holds desk").wait_for()
    await tab.button("Delete all…").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await tab.sees("deleted.")
    await tab.sees("No dead letter fits")
    assert await shop.events.dead_letters.list("order.placed") == []


async def test_a_stopped_key_goes_on(tab: Tab, shop: Shop) -> None:
    shop.broken = False
    await tab.open("/groups")
    await tab.row("parcels").get_by_role("link").click()
    await tab.row("parcel-9").get_by_role("button", name="Unpark").click()
    await tab.sees("parcel-9 goes on")
    await until(lambda: {"id": 9, "broken": True} in shop.handled and {"id": 10} in shop.handled)


async def test_a_planned_event_is_moved_and_cancelled(tab: Tab, shop: Shop) -> None:
    await tab.open("/schedules")
    await tab.row("reminder.send").get_by_role("button", name="Move…").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("At").fill("2031-02-03T04:05:06")
    await dialog.get_by_role("button", name="Move").click()
    await tab.row("2031").wait_for()
    due = {each.topic: each.due for each in (await shop.events.schedules.list()).items}
    assert due["reminder.send"] == datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    await tab.row("reminder.send").get_by_role("button", name="Cancel").click()
    await tab.sees("reminder.send was cancelled")
    await tab.row("reminder.send").wait_for(state="detached")
    await tab.page.get_by_role("link", name="cancelled").click()
    await tab.row("reminder.send").wait_for()
    assert (await shop.events.schedules.figures()).cancelled == 1


async def test_a_task_is_paused_resumed_and_run(tab: Tab, shop: Shop) -> None:
    await tab.open("/cron")
    await tab.row("report/nightly").get_by_role("button", name="Pause").click()
    await tab.sees("report/nightly is paused.")
    assert (await shop.events.cron.get("report/nightly")).paused
    await tab.row("report/nightly").get_by_role("link").click()
    await tab.page.wait_for_url("**/cron/report/nightly")
    await tab.button("Resume").click()
    await tab.sees("report/nightly goes on.")
    assert not (await shop.events.cron.get("report/nightly")).paused
    await tab.button("Run now").click()
    await tab.sees("report/nightly was run.")
    assert (await shop.events.cron.get("report/nightly")).last is not None


async def test_history_is_filtered_and_played_again(tab: Tab, shop: Shop) -> None:
    again: asyncio.Queue[Any] = asyncio.Queue()
    await shop.events.subscribe("audit.again", again.put).ready()
    await shop.events.publish("audit.seen", {"number": 1})
    await tab.open("/history?topic=audit.seen")
    await tab.row("audit.seen").wait_for()
    await tab.button("Replay…").click()
    dialog = tab.page.get_by_role("dialog")
    await dialog.get_by_label("Or to the topic").fill("audit.again")
    await dialog.get_by_role("button", name="Replay").click()
    await dialog.get_by_text("that was all").wait_for()
    assert await asyncio.wait_for(again.get(), 30) == {"number": 1}


async def test_a_task_that_is_gone_is_told(tab: Tab, shop: Shop) -> None:
    await tab.open("/cron/stock/check")
    await tab.button("Delete…").click()
    await tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await tab.sees("stock/check was deleted.")
    with pytest.raises(TielineError):
        await shop.events.cron.get("stock/check")
    await tab.open("/cron/stock/check")
    await tab.page.get_by_role("alert").get_by_text("NOT_FOUND").wait_for()
    tab.troubles = [each for each in tab.troubles if "404" not in each]


async def test_a_large_number_stays_what_it_is_in_what_is_edited(tab: Tab, shop: Shop) -> None:
    shop.broken = True
    order = {"id": 2**60 + 1, "article": "vase", "broken": True}
    await shop.events.publish("order.placed", order, key="large")
    await tab.open("/dead-letters?topic=order.placed&key=large")
    await tab.row("vase").get_by_role("link", name="order.placed").click()
    await tab.sees(str(order["id"]))
    await tab.button("Edit and redrive…").click()
    payload = tab.page.get_by_label("Payload (JSON)")
    await payload.fill((await payload.input_value()).replace("true", "false"))
    await tab.page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    await until(lambda: order | {"broken": False} in shop.handled)
