"""Tieline's Python client, over whatever the URL names: Redis, or a gateway."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report, serve_forever
from tieline import EventSystem


async def serve(url: str) -> None:
    """Echo."""
    events = EventSystem(url, service="echo")

    async def echo(data: Any) -> Any:
        return data

    async with events:
        await events.subscribe(TOPIC, echo).ready()
        await serve_forever()


async def call(url: str, seconds: str) -> None:
    """Call with `publish_and_wait`."""
    async with EventSystem(url, service="caller") as events:
        report(await measure(partial(events.publish_and_wait, TOPIC, PAYLOAD), float(seconds)))


if __name__ == "__main__":
    play(serve=serve, call=call)
