"""`tieline schedule`: planned events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from tieline._contract.contract import LIMIT_PAGE
from tieline.schedules.agenda import ScheduleStatus
from tieline.schedules.schedules import Schedule
from tieline_gateway.cli.arguments import DURATION, LATER
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, away, clock, short, show_list, show_one
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import json_text, payload_text
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_COLUMNS: tuple[Column[Schedule], ...] = (
    Column("ID", lambda plan: plan.id),
    Column("TOPIC", lambda plan: plan.topic),
    Column("KEY", lambda plan: plan.key),
    Column("DUE", lambda plan: clock(plan.due)),
    Column("IS", lambda plan: away(plan.due) if plan.status is ScheduleStatus.PENDING else plan.status.value),
    Column("DATA", lambda plan: short(payload_text(plan.event))),
    Column("ERROR", lambda plan: short(plan.error)),
)


@click.group(epilog=examples("tieline schedule list", "tieline schedule cancel 0190a5c4-…"))
def schedule() -> None:
    """Planned events: what was published with --delay or --at."""


@schedule.command("list", epilog=examples("tieline schedule list", "tieline schedule list --status failed --json"))
@click.option(
    "--status",
    type=click.Choice([each.value for each in ScheduleStatus]),
    default="pending",
    show_default=True,
    help="Those that are so.",
)
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page.")
@click.option("--limit", type=click.IntRange(1, LIMIT_PAGE), default=50, show_default=True, help="So many a page.")
@json_option
@with_broker
def list_(*, broker: Broker, status: str, page: int, limit: int, as_json: bool) -> None:
    """List planned events.

    The pending ones by when they are due, others the last first.
    """
    found = broker.visit(lambda events: events.schedules.list(status, page=page, limit=limit))
    more = {"total": found.total, "page": page, "limit": limit}
    show_list(found.items, _COLUMNS, as_json=as_json, nothing=f"No planned event is {status} (here).", more=more)
    if not as_json and found.total > page * limit:
        click.echo(f"{found.total:,} in all; --page {page + 1} has the next ones", err=True)


@schedule.command(epilog=examples("tieline schedule figures --json"))
@json_option
@with_broker
def figures(*, broker: Broker, as_json: bool) -> None:
    """Tell how many events were planned, wait, and ended how."""
    show_one(broker.visit(lambda events: events.schedules.figures()), as_json=as_json)


@schedule.command(epilog=examples("tieline schedule show 0190a5c4-…"))
@click.argument("id")
@json_option
@with_broker
def show(id: str, *, broker: Broker, as_json: bool) -> None:
    """Show one planned event, with its payload."""
    show_one(broker.visit(lambda events: events.schedules.get(id)), as_json=as_json)


@schedule.command(epilog=examples("tieline schedule cancel 0190a5c4-…"))
@click.argument("id")
@json_option
@with_broker
def cancel(id: str, *, broker: Broker, as_json: bool) -> None:
    """Have a planned event not published."""
    _tell(broker.visit(lambda events: events.schedules.cancel(id)), as_json)


def _when(function: Callable[..., None]) -> Callable[..., None]:
    function = click.option("--at", type=LATER, help="At this moment: 2026-11-21T18:30:00Z, or 2h from now.")(function)
    return click.option("--delay", type=DURATION, help="So much later from now: 90, 5m, 2h, 7d.")(function)


@schedule.command(epilog=examples("tieline schedule move 0190a5c4-… --delay 1h"))
@click.argument("id")
@_when
@json_option
@with_broker
def move(id: str, *, broker: Broker, as_json: bool, delay: float | None, at: datetime | None) -> None:
    """Have a pending event published at another time."""
    if (delay is None) == (at is None):
        raise click.UsageError("say when: --delay or --at")
    _tell(broker.visit(lambda events: events.schedules.reschedule(id, delay=delay, at=at)), as_json)


@schedule.command(epilog=examples("tieline schedule retry 0190a5c4-…"))
@click.argument("id")
@_when
@json_option
@with_broker
def retry(id: str, *, broker: Broker, as_json: bool, **when: Any) -> None:
    """Plan an event anew that failed: for now, unless told."""
    _tell(broker.visit(lambda events: events.schedules.retry(id, **when)), as_json)


def _tell(plan: Schedule, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(plan))
        return
    when = f", due {clock(plan.due)} ({away(plan.due)})" if plan.status is ScheduleStatus.PENDING else ""
    click.echo(visible(f"{plan.id} is {plan.status.value}{when}"))
