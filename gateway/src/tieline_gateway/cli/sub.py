"""`tieline sub`."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import Any

import click

from tieline.context import Event
from tieline.errors import CallTimeoutError
from tieline.events import EventSystem
from tieline.subscription import SubscriptionOptions
from tieline_gateway.cli.arguments import DURATION
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import event_document, json_text, payload_text
from tieline_gateway.cli.visit import Broker, json_option, with_broker


@click.command(
    epilog=examples(
        "tieline sub 'order.>'                                    watch, and disturb nobody",
        "tieline sub 'order.>' 'stock.*' --requests               calls, too",
        "tieline sub order.placed --count 1 --json | jq .data     the next one",
        "tieline sub comment.added --durable --group audit        take what is stored, and acknowledge it",
    )
)
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True)
@click.option("--requests", is_flag=True, help="Show calls too; they are watched, not answered.")
@click.option("--group", help="Be a member of this group: what comes here, no other member gets.")
@click.option("--durable", is_flag=True, help="With --group: take stored events, and acknowledge them.")
@click.option("--start", type=click.Choice(["earliest", "latest"]), help="With --durable: where a new group begins.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option(
    "--timeout", type=DURATION, help="End after so long; with --count and too few of them, that is a failure."
)
@json_option
@with_broker
def sub(patterns: tuple[str, ...], *, broker: Broker, as_json: bool, **options: Any) -> None:
    """Print events as they come, until Ctrl-C.

    PATTERN is a topic, or has * for one token and a final > for one or more. Unless --group or --durable says otherwise
    it only watches. With --json each event is one line of JSON.
    """
    if options["requests"] and (options["group"] or options["durable"]):
        raise click.UsageError("--requests is for watching: leave --group and --durable out")
    if options["durable"] and not options["group"]:
        raise click.UsageError("say which --group is to have the stored events; its other members do not get them then")
    if options["start"] and not options["durable"]:
        raise click.UsageError("--start goes with --durable")
    tap = _Tap(as_json, options["requests"], options["count"])
    events = broker.system()
    tap.declare(events, patterns, options)
    asyncio.run(tap.run(events, patterns, options["timeout"]))


class _Tap:
    """Prints what comes, one after the other, in a thread: whoever reads our output may be slow."""

    def __init__(self, as_json: bool, requests: bool, count: int | None) -> None:
        self._as_json = as_json
        self._requests = requests
        self._left = count
        self._over = asyncio.Event()
        self._turn = asyncio.Lock()
        self._trouble: BaseException | None = None

    def declare(self, events: EventSystem, patterns: tuple[str, ...], options: dict[str, Any]) -> None:
        """Subscribe before anything runs: what the broker refuses is then told by the start, and only there."""
        for pattern in patterns:
            handler, how = self._how(options)
            events.subscribe(pattern, handler, **how)

    async def run(self, events: EventSystem, patterns: tuple[str, ...], seconds: float | None) -> None:
        async with events:
            click.echo(f"tieline: listening on {visible(', '.join(patterns))}", err=True)
            await self._wait(seconds)
        if self._trouble is not None:
            raise self._trouble

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            if self._left is not None:
                raise CallTimeoutError(f"{self._left:,} more did not come within {seconds:g} s") from None

    def _how(self, options: dict[str, Any]) -> tuple[Any, SubscriptionOptions]:
        if options["durable"]:
            named: dict[str, Any] = {name: options[name] for name in ("group", "start") if options[name]}
            stored = SubscriptionOptions(durable=True, concurrency=1, timeout=3600.0, **named)
            return self._take_stored, stored
        if options["group"]:  # a batch of one answers nobody
            return self._take_batch, {"group": options["group"], "batch": (1, 1.0), "concurrency": 1, "on_gap": _gap}
        return self._take, {"observe": True, "concurrency": 1, "on_gap": _gap}

    async def _take(self, _data: Any, event: Event) -> None:
        if self._requests or not event.is_request:
            await self._print(event)

    async def _take_batch(self, _data: list[Any], event: Event) -> None:
        await self._print(event)

    async def _take_stored(self, _data: Any, event: Event) -> None:
        if not await self._print(event) and event.delivery:
            event.delivery.nack(0)

    async def _print(self, event: Event) -> bool:
        """Print one, if it is still wanted; returns whether it was."""
        async with self._turn:
            if self._over.is_set():
                return False
            try:
                await asyncio.to_thread(_write, json_text(event_document(event)) if self._as_json else _line(event))
            except OSError as error:  # nobody reads any more
                self._trouble = error
                self._over.set()
                return False
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    self._over.set()
            return True


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _line(event: Event) -> str:
    clock = f"{event.time.astimezone():%H:%M:%S.%f}"[:-3]
    kind = "call " if event.is_request else ""
    key = f"  key={event.key}" if event.key else ""
    replay = "  (replay)" if event.replay else ""
    return visible(f"{clock}  {kind}{event.topic}{key}{replay}  {payload_text(event)}")


def _gap(since: datetime, until: datetime, reason: str) -> None:
    spoken = f"{since.astimezone():%H:%M:%S} to {until.astimezone():%H:%M:%S}"
    click.echo(f"tieline: events may have been lost from {spoken}: {visible(reason)}", err=True)
