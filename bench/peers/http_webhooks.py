"""`POST /webhooks/bench` on 64 connections, signed by Standard Webhooks; `published` is answers per second.

Each delivery has an id and a signature of its own, and is stored before it is answered. They are signed before the
clock runs: the sender's work is not measured. `known` is the same for deliveries that came before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator

from bench.http_load import Load, load, request
from bench.peers.load import PAYLOAD, play, report

SECRET = "YSBzZWNyZXQgdGhhdCBldmVyeWJvZHkgbWF5IGtub3c="
_PATH = "/webhooks/bench"
_WARM_SECONDS = 1.0
_MOST_EACH_SECOND = 9_000
_EACH_TOPIC = 5_000
"""A topic that nobody has subscribed to holds no more than twice as many."""


async def call(url: str, seconds: str) -> None:
    """Send webhooks.

    Raises:
        RuntimeError: some were not taken.
    """
    deliveries = _deliveries(url, int((float(seconds) + _WARM_SECONDS) * _MOST_EACH_SECOND))
    await _load(url, deliveries.__next__, _WARM_SECONDS)
    new = await _load(url, deliveries.__next__, float(seconds))
    again = _signed(url, 0)
    known = await _load(url, lambda: again, float(seconds))
    report({"published": new.rate, "known": known.rate})


async def _load(url: str, make: Callable[[], bytes], seconds: float) -> Load:
    told = await load(url, make, seconds, wanted=202)
    if told.wrong:
        raise RuntimeError(f"{told.wrong} webhooks were not answered with 202")
    return told


def _deliveries(url: str, count: int) -> Iterator[bytes]:
    return iter([_signed(url, number) for number in range(count)])


def _signed(url: str, number: int) -> bytes:
    name, timestamp = f"msg_{number}", int(time.time())
    told = {"type": f"order.paid{number // _EACH_TOPIC}", "timestamp": "2026-01-01T00:00:00Z", "data": PAYLOAD}
    body = json.dumps(told).encode()
    content = b"%s.%d.%s" % (name.encode(), timestamp, body)
    signature = base64.b64encode(hmac.digest(base64.b64decode(SECRET), content, hashlib.sha256)).decode()
    return request(
        url,
        "POST",
        _PATH,
        body,
        content_type="application/json",
        webhook_id=name,
        webhook_timestamp=str(timestamp),
        webhook_signature=f"v1,{signature}",
    )


if __name__ == "__main__":
    play(call=call)
