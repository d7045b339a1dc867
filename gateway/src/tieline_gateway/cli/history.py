"""`tieline history`: what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from tieline._contract.contract import LIMIT_PAGE
from tieline.history.events import HistoryEvent
from tieline_gateway.cli.arguments import SINCE
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, clock, confirm, short, show_list, show_one, yes_option
from tieline_gateway.cli.plain import json_text, payload_text
from tieline_gateway.cli.visit import Broker, json_option, with_broker
from tieline_gateway.counted import counted

_COLUMNS: tuple[Column[HistoryEvent], ...] = (
    Column("TIME", lambda event: clock(event.time)),
    Column("ID", lambda event: event.id),
    Column("TOPIC", lambda event: event.type),
    Column("KEY", lambda event: event.key),
    Column("STATUS", lambda event: event.status),
    Column("DATA", lambda event: short(payload_text(event))),
)


def selection_options(function: Callable[..., None]) -> Callable[..., None]:
    """Which events: since, until, status, source."""
    for option in (
        click.option("--source", default="", help="A service, or service/instance, that published them."),
        click.option("--status", type=click.Choice(["pending", "processed", "failed"]), help="Those that are so."),
        click.option("--until", type=SINCE, help="Published before this moment."),
        click.option("--since", type=SINCE, help="Published at this moment or later: 2026-11-21T18:30, or 2h (ago)."),
    ):
        function = option(function)
    return function


def selection(
    patterns: tuple[str, ...], since: datetime | None, until: datetime | None, status: str | None, source: str
) -> dict[str, Any]:
    """The same as `events.history` takes it."""
    return {"types": list(patterns), "start": since, "end": until, "status": status or "", "source": source}


@click.group(epilog=examples("tieline history list 'order.*' --since 1h", "tieline history figures"))
def history() -> None:
    """What happened, as a recorder has written it down."""


@history.command("list", epilog=examples("tieline history list", "tieline history list 'order.*' --since 1h --json"))
@click.argument("patterns", metavar="[PATTERN...]", nargs=-1)
@selection_options
@click.option("--limit", type=click.IntRange(1, LIMIT_PAGE), default=50, show_default=True, help="So many at most.")
@click.option("--cursor", default="", help="Go on where the last answer ended.")
@click.option("--oldest-first", is_flag=True, help="The other way round.")
@json_option
@with_broker
def list_(patterns: tuple[str, ...], *, broker: Broker, as_json: bool, **options: Any) -> None:
    """List events of these topics or patterns, the newest first."""
    which = {name: options.pop(name) for name in ("since", "until", "status", "source")}
    chosen = selection(patterns, **which)
    found = broker.visit(lambda events: events.history.list(**chosen, **options))
    nothing = "History has no such event."
    show_list(found.events, _COLUMNS, as_json=as_json, nothing=nothing, more={"next": found.cursor})
    if found.cursor and not as_json:
        click.echo(f"There are more: --cursor {found.cursor}", err=True)


@history.command(epilog=examples("tieline history show 0190a5c4-…"))
@click.argument("id")
@json_option
@with_broker
def show(id: str, *, broker: Broker, as_json: bool) -> None:
    """Show one event, with its payload."""
    show_one(broker.visit(lambda events: events.history.get(id)), as_json=as_json)


@history.command(epilog=examples("tieline history delete --until 30d --yes", "tieline history delete --id 0190a5c4-…"))
@click.argument("patterns", metavar="[PATTERN...]", nargs=-1)
@selection_options
@click.option("--id", "ids", multiple=True, help="This event; may be repeated.")
@yes_option
@json_option
@with_broker
def delete(
    patterns: tuple[str, ...], *, broker: Broker, ids: tuple[str, ...], yes: bool, as_json: bool, **which: Any
) -> None:
    """Delete events from history; nothing else changes."""
    chosen: dict[str, Any] = {"ids": list(ids)} if ids else selection(patterns, **which)
    if not any(chosen.values()) or (ids and any((patterns, *which.values()))):
        raise click.UsageError("say what is to be deleted: PATTERNs, --since, --until, --status, --source; or --id")
    confirm("Delete these events from history?", yes=yes)
    done = broker.visit(lambda events: events.history.delete(**chosen))
    click.echo(json_text({"deleted": done}) if as_json else f"deleted {counted(done, 'event')}")


@history.command(epilog=examples("tieline history figures --json"))
@json_option
@with_broker
def figures(*, broker: Broker, as_json: bool) -> None:
    """Tell how much there is, how late recorders are, and what is lost."""
    show_one(broker.visit(lambda events: events.history.figures()), as_json=as_json)
