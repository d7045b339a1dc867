"""What the dashboard says of webhooks that are sent to others, by real servers that take, refuse and stop them."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.responses import Response

from tests.e2e.browser import Browser, Tab
from tests.gateway.up import Up, system
from tests.gateway.webhooks.receiver import Receiver
from tests.gateway.webhooks.senders import STANDARD_SECRET, secret_file

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERS = {"taken": 204, "refused": 500, "gone": 410}


def _config(folder: Path, receivers: dict[str, Receiver]) -> Path:
    secret_file(folder, STANDARD_SECRET, name="out.secret")
    tables = [
        f'[deliveries.{name}]\ntopic = "order.{name}"\nurl = "{receiver.origin}/hook?key=hidden"\n'
        'secret_file = "out.secret"\nallow_private = true\nretry = { max_attempts = 50, backoff = 0.5, cap = 0.5 }\n'
        for name, receiver in receivers.items()
    ]
    config = folder / "tieline.toml"
    config.write_text("\n".join(tables))
    return config


async def _cell(tab: Tab, delivery: str, head: str, text: str) -> None:
    row = tab.row(f"order.{delivery}")
    await row.locator(f'td[data-head="{head}"]', has_text=text).wait_for()


async def test_what_becomes_of_deliveries_is_shown_and_one_that_stopped_goes_on(
    browser: Browser, tmp_path: Path
) -> None:
    async with Receiver() as taken, Receiver() as refused, Receiver() as gone:
        receivers = {"taken": taken, "refused": refused, "gone": gone}
        for name, receiver in receivers.items():
            receiver.answers = lambda _, name=name: Response(status_code=ANSWERS[name])
        config = str(_config(tmp_path, receivers))
        async with Up("--config", config, http=True) as up, await browser.tab(up.web) as tab:
            await tab.open("/webhooks")
            await _cell(tab, "taken", "State", "running")
            async with system(up) as events:
                for name in receivers:
                    await events.publish(f"order.{name}", {"n": 1}, durable=True)
            await _cell(tab, "taken", "Delivered", "1")
            await _cell(tab, "taken", "Waiting", "0")
            await _cell(tab, "taken", "Last", "HTTP 204")
            await _cell(tab, "refused", "Last", "HTTP 500")
            await _cell(tab, "refused", "Waiting", "1")
            await tab.sees("it was answered 500")
            await _cell(tab, "gone", "State", "stopped")
            await _cell(tab, "gone", "Last", "HTTP 410")
            assert "hidden" not in await tab.page.inner_text("main"), "what may be a secret is not shown"
            assert await tab.page.get_by_role("button", name="Resume").count() == 1
            receivers["gone"].answers = lambda _: Response(status_code=204)
            await tab.button("Resume gone").click()
            await tab.sees("gone goes on at this gateway.")
            await _cell(tab, "gone", "State", "running")
            await _cell(tab, "gone", "Delivered", "1")
            await _cell(tab, "gone", "Waiting", "0")
            assert tab.troubles == []
