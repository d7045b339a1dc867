"""`POST /v1/events` with the payload of all benchmarks, on 64 connections; `published` is answers per second."""

from __future__ import annotations

import json

from bench.http_load import load, request
from bench.peers.load import PAYLOAD, play, report

_WARM_SECONDS = 1.0


async def call(url: str, seconds: str) -> None:
    """Publish live events.

    Raises:
        RuntimeError: some were not taken.
    """
    body = json.dumps({"topic": "bench.event", "data": PAYLOAD}).encode()
    sent = request(url, "POST", "/v1/events", body, content_type="application/json")
    await load(url, lambda: sent, _WARM_SECONDS, wanted=202)
    told = await load(url, lambda: sent, float(seconds), wanted=202)
    if told.wrong or not told.rate:
        raise RuntimeError(f"{told.wrong} requests were not answered with 202, and {told.rate:.0f} a second were")
    report({"published": told.rate})


if __name__ == "__main__":
    play(call=call)
