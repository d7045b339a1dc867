"""Tieline with caller and handler in one process: what isolation of payloads, deadline and task cost by themselves."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.peers.load import PAYLOAD, TOPIC, measure, play, report
from tieline import EventSystem


async def call(_url: str, seconds: str) -> None:
    """Call with `publish_and_wait`."""
    async with EventSystem("memory://", service="both") as events:

        async def echo(data: Any) -> Any:
            return data

        await events.subscribe(TOPIC, echo).ready()
        report(await measure(partial(events.publish_and_wait, TOPIC, PAYLOAD), float(seconds)))


if __name__ == "__main__":
    play(call=call)
