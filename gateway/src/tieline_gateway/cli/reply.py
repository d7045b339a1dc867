"""`tieline reply`."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import click

from tieline.context import Event
from tieline.events import EventSystem
from tieline.settings import Settings
from tieline_gateway.cli.arguments import DURATION
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.program import Program
from tieline_gateway.cli.visit import Broker, with_broker


@click.command(
    epilog=examples(
        "tieline reply ping --echo",
        "tieline reply shout.it --command 'tr a-z A-Z'         JSON in, JSON out",
        "tieline reply host.uptime --command uptime --text     the reply is what it prints",
        "tieline reply slow.thing --command ./work.sh --concurrency 2 --timeout 5m",
    )
)
@click.argument("topic")
@click.option("--echo", is_flag=True, help="Reply with the payload.")
@click.option(
    "--command", metavar="PROGRAM", help="Run this for each call: the payload is its stdin, its stdout the reply."
)
@click.option("--text", is_flag=True, help="With --command: its stdout is text, not JSON.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many at a time.")
@click.option("--timeout", type=DURATION, default="30", show_default=True, help="How long the program may take.")
@click.option("--service", default="reply", show_default=True, help="Name of the service that replies.")
@with_broker
def reply(topic: str, *, broker: Broker, echo: bool, command: str | None, **options: Any) -> None:
    """Answer the calls of a topic.

    Ctrl-C ends it, and lets the calls under way finish. PROGRAM is split into words as a shell would, but run
    without one, so that payloads cannot become commands. It gets the payload as JSON on stdin, and TIELINE_TOPIC,
    TIELINE_CORRELATION_ID and TIELINE_SOURCE in its environment. If it ends with another code than 0, the caller
    gets a HANDLER_ERROR with the last line of its stderr.
    """
    if echo == (command is not None):
        raise click.UsageError("say how to reply: --echo, or --command PROGRAM")
    if options["text"] and echo:
        raise click.UsageError("--text goes with --command")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    answer = _echo if command is None else Program(_words(command), options["timeout"], text=options["text"]).answer
    system = {"service": options["service"], "settings": Settings()}
    broker.visit(lambda events: _serve(events, topic, answer, options["concurrency"]), **system)


async def _serve(
    events: EventSystem, topic: str, answer: Callable[[Any, Event], Awaitable[Any]], concurrency: int
) -> None:
    async def only_calls(data: Any, event: Event) -> Any:
        return await answer(data, event) if event.is_request else None

    subscription = events.subscribe(topic, only_calls, concurrency=concurrency, name="reply")
    if subscription.is_pattern:
        raise click.UsageError(f"{topic!r} is a pattern, and calls go to topics: give a topic without wildcards")
    await subscription.ready()
    click.echo(f"tieline: {events.service}/{events.instance} answers {visible(topic)}")
    await events.serve()


async def _echo(data: Any, _event: Event) -> Any:
    return data


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.UsageError(f"--command {json.dumps(command)} cannot be read: {error}") from None
    if not words or shutil.which(words[0]) is None:
        raise click.UsageError(f"there is no program {words[0] if words else ''!r} to run")
    return words
