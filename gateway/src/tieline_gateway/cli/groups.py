"""`tieline groups`: subscription groups of durable events."""

from __future__ import annotations

import click

from tieline.durable.groups import Group
from tieline.events import EventSystem
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, clock, confirm, show_list, span, yes_option
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_COLUMNS: tuple[Column[Group], ...] = (
    Column("TOPIC", lambda group: group.topic),
    Column("GROUP", lambda group: group.name),
    Column("WAITING", lambda group: f"{group.waiting:,}"),
    Column("UNDER WAY", lambda group: f"{group.pending:,}"),
    Column("KEYS", lambda group: f"{group.keys:,}"),
    Column("PARKED", lambda group: f"{group.parked:,}"),
    Column("OLDEST", lambda group: span(group.oldest_seconds)),
    Column("SINCE", lambda group: clock(group.since)),
)


@click.group(epilog=examples("tieline groups list", "tieline groups remove order.placed old-billing"))
def groups() -> None:
    """Subscription groups of durable events, and how far they are."""


@groups.command("list", epilog=examples("tieline groups list", "tieline groups list order.placed --json"))
@click.argument("topic", required=False)
@json_option
@with_broker
def list_(topic: str | None, *, broker: Broker, as_json: bool) -> None:
    """List the groups of a topic, or of all topics.

    What waits for them, what is under way, and how many keys stopped.
    """
    found = broker.visit(lambda events: find_groups(events, topic))
    nothing = f"{topic} has no groups." if topic else "No topic has groups: nobody has subscribed durably."
    show_list(found, _COLUMNS, as_json=as_json, nothing=nothing)


async def find_groups(events: EventSystem, topic: str | None = None) -> list[Group]:
    """The groups of one topic or of all."""
    topics = [topic] if topic else sorted(await events.groups.topics())
    return [group for each in topics for group in await events.groups.list(each)]


@groups.command(epilog=examples("tieline groups remove order.placed old-billing --yes"))
@click.argument("topic")
@click.argument("group")
@yes_option
@with_broker
def remove(topic: str, group: str, *, broker: Broker, yes: bool) -> None:
    """Remove a group.

    Nothing waits for it any more, and its subscriptions end.
    """
    confirm(f"Remove the group {group} of {topic}, with all that waits for it?", yes=yes)
    broker.visit(lambda events: events.groups.remove(topic, group))
    click.echo(f"removed the group {visible(group)} of {visible(topic)}")
