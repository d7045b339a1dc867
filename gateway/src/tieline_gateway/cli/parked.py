"""`tieline parked`: keys that stopped."""

from __future__ import annotations

import click

from tieline.durable.dead_letters import DeadLetter
from tieline.events import EventSystem
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, away, short, show_list
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import payload_text
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_COLUMNS: tuple[Column[DeadLetter], ...] = (
    Column("TOPIC", lambda letter: letter.topic),
    Column("GROUP", lambda letter: letter.group),
    Column("KEY", lambda letter: letter.event.key),
    Column("TRIES", lambda letter: letter.attempts),
    Column("WHEN", lambda letter: away(letter.time)),
    Column("DATA", lambda letter: short(payload_text(letter.event))),
    Column("ERROR", lambda letter: short(str(letter.error))),
)
_group_option = click.option("--group", default="default", show_default=True, help="In this subscription group.")


@click.group(epilog=examples("tieline parked list", "tieline parked unpark comment.added card-7"))
def parked() -> None:
    """Keys that stopped: their first event failed for the last time.

    Their events wait until somebody lets the key go on.
    """


@parked.command(
    "list", epilog=examples("tieline parked list", "tieline parked list comment.added --group search --json")
)
@click.argument("topic", required=False)
@click.option("--group", help="Of this subscription group only.")
@json_option
@with_broker
def list_(topic: str | None, *, broker: Broker, group: str | None, as_json: bool) -> None:
    """List parked keys, of one topic or of all."""
    found = broker.visit(lambda events: find_parked(events, topic, group))
    show_list(found, _COLUMNS, as_json=as_json, nothing="No key is parked.")


async def find_parked(events: EventSystem, topic: str | None, group: str | None) -> list[DeadLetter]:
    """What stopped keys, in one topic or in all, in one group or in all."""
    found: list[DeadLetter] = []
    for each in [topic] if topic else sorted(await events.groups.topics()):
        names = [one.name for one in await events.groups.list(each) if group in (None, one.name) and one.parked]
        for name in names:
            found += await events.parked.list(each, group=name)
    return found


@parked.command(epilog=examples("tieline parked unpark comment.added card-7"))
@click.argument("topic")
@click.argument("key")
@_group_option
@with_broker
def unpark(topic: str, key: str, *, broker: Broker, group: str) -> None:
    """Let a key go on with the event that stopped it.

    It is handled as if for the first time.
    """
    broker.visit(lambda events: events.parked.unpark(topic, key, group=group))
    click.echo(f"{visible(key)} goes on, with the event that stopped it")


@parked.command(epilog=examples("tieline parked skip comment.added card-7"))
@click.argument("topic")
@click.argument("key")
@_group_option
@with_broker
def skip(topic: str, key: str, *, broker: Broker, group: str) -> None:
    """Let a key go on past the event that stopped it.

    That one becomes a dead letter.
    """
    broker.visit(lambda events: events.parked.skip(topic, key, group=group))
    click.echo(f"{visible(key)} goes on; the event that stopped it is a dead letter of {visible(topic)}")
