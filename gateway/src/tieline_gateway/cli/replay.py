"""`tieline replay`."""

from __future__ import annotations

import functools
from typing import Any

import click

from tieline.events import EventSystem
from tieline.history.replay import ReplayProgress
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.history import selection, selection_options
from tieline_gateway.cli.plain import json_text
from tieline_gateway.cli.progress import Progress
from tieline_gateway.cli.visit import Broker, json_option, with_broker
from tieline_gateway.counted import counted


@click.command(
    epilog=examples(
        "tieline replay 'order.*' --since 2h --to-group billing",
        "tieline replay order.placed --since 2026-11-21 --until 2026-11-22 --to-topic order.again --speed 10",
    )
)
@click.argument("patterns", metavar="[PATTERN...]", nargs=-1)
@selection_options
@click.option("--to-group", metavar="GROUP", help="Deliver them to this group; or")
@click.option("--to-topic", metavar="TOPIC", help="publish them on this topic of your own.")
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), help="A factor to the original pace; flat out unless given."
)
@json_option
@with_broker
def replay(
    patterns: tuple[str, ...],
    *,
    broker: Broker,
    as_json: bool,
    to_group: str | None,
    to_topic: str | None,
    speed: float | None,
    **which: Any,
) -> None:
    """Deliver events of history again.

    They are marked as a replay. Ctrl-C ends it. With --json each step is one line of JSON.
    """
    if (to_group is None) == (to_topic is None):
        raise click.UsageError("say where they go: --to-group or --to-topic")
    asked = selection(patterns, **which) | {"to_group": to_group, "to_topic": to_topic, "speed": speed}
    last = broker.visit(functools.partial(_replay, asked=asked, as_json=as_json))
    if last and not as_json:
        skipped = f", {last.skipped:,} skipped, as nobody took them" if last.skipped else ""
        click.echo(f"replayed {last.sent:,} of {counted(last.total, 'event')}{skipped}")


async def _replay(events: EventSystem, *, asked: dict[str, Any], as_json: bool) -> ReplayProgress | None:
    last = None
    with Progress("replaying") as bar:
        async with events.history.replay(**asked) as steps:
            async for last in steps:
                bar.update(last.sent + last.skipped, last.total)
                if as_json:
                    click.echo(json_text(last))
    return last
