"""`tieline cron`: tasks that recur."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tieline._contract.contract import LIMIT_PAGE
from tieline.cron.job import CronJob
from tieline.cron.task import Misfire
from tieline_gateway.cli.arguments import DURATION, LATER, header_option, read_payload
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, away, clock, confirm, show_list, show_one, yes_option
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.plain import json_text
from tieline_gateway.cli.visit import Broker, json_option, with_broker

_COLUMNS: tuple[Column[CronJob], ...] = (
    Column("NAME", lambda job: job.name),
    Column("WHEN", lambda job: f"{job.expression} {'' if job.zone in ('', 'UTC') else job.zone}".strip()),
    Column("TOPIC", lambda job: job.topic),
    Column("KIND", lambda job: "call" if job.call else "stored" if job.durable else "event"),
    Column("NEXT", lambda job: "paused" if job.paused else away(job.next)),
    Column("RUNS", lambda job: f"{job.runs:,}"),
    Column("LAST", lambda job: "" if job.last is None else f"{job.last.status} {away(job.last.started)}"),
)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """What may be said of a task."""
    for option in reversed(
        (
            click.option("--zone", metavar="NAME", help="Time zone of the fields, as Europe/Berlin; UTC unless given."),
            click.option(
                "--call/--event", "call", default=None, help="Make a call at each tick, and record its reply."
            ),
            click.option("--key", help="Store the events, in the order of this key."),
            click.option("--durable/--live", "durable", default=None, help="Store the events."),
            click.option("--priority", type=click.IntRange(1, 10), help="Of events stored without key: 1, 5, 8 or 10."),
            click.option("--ttl", type=DURATION, help="How long an event is worth handling, or a reply waited for."),
            click.option("--jitter", type=DURATION, help="A tick is late on purpose by up to this."),
            click.option("--start", type=LATER, help="No tick comes before."),
            click.option("--end", type=LATER, help="No tick comes after."),
            click.option(
                "--misfire", type=click.Choice([each.value for each in Misfire]), help="What of missed ticks."
            ),
            click.option("--grace", type=DURATION, help="A tick that is later than this was missed."),
            click.option("--retries", type=click.IntRange(0), help="Further tries of what failed."),
            click.option("--retry-delay", type=DURATION, help="Between them."),
            header_option,
            json_option,
            with_broker,
        )
    ):
        function = option(function)
    return function


def _said(options: dict[str, Any]) -> dict[str, Any]:
    headers = dict(options.pop("headers"))
    return {name: value for name, value in options.items() if value is not None} | (
        {"headers": headers} if headers else {}
    )


@click.group(epilog=examples("tieline cron list", "tieline cron create heart 'every 10s' heart.beat"))
def cron() -> None:
    """Tasks that recur: an event, or a call, again and again."""


@cron.command("list", epilog=examples("tieline cron list", "tieline cron list --json"))
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Which page.")
@click.option("--limit", type=click.IntRange(1, LIMIT_PAGE), default=50, show_default=True, help="So many a page.")
@json_option
@with_broker
def list_(*, broker: Broker, page: int, limit: int, as_json: bool) -> None:
    """List the tasks, in the order of their names."""
    found = broker.visit(lambda events: events.cron.list(page=page, limit=limit))
    more = {"total": found.total, "page": page, "limit": limit}
    show_list(found.items, _COLUMNS, as_json=as_json, nothing="There is no cron task (here).", more=more)


@cron.command(epilog=examples("tieline cron show heart"))
@click.argument("name")
@json_option
@with_broker
def show(name: str, *, broker: Broker, as_json: bool) -> None:
    """Show a task, with its next tick and its last run."""
    show_one(broker.visit(lambda events: events.cron.get(name)), as_json=as_json)


@cron.command(
    epilog=examples(
        "tieline cron create heart 'every 10s' heart.beat",
        "tieline cron create report '30 2 * * MON-FRI' report.due '{\"kind\": \"daily\"}' --zone Europe/Berlin",
        "tieline cron create rates @hourly rates.fetch --call --ttl 1m",
    )
)
@click.argument("name")
@click.argument("expression")
@click.argument("topic")
@click.argument("data", required=False)
@click.option("--paused", is_flag=True, default=None, help="No tick comes until `cron resume`.")
@_options
def create(
    name: str, expression: str, topic: str, data: str | None, *, broker: Broker, as_json: bool, **options: Any
) -> None:
    """Make a task. EXPRESSION is five or six fields, @hourly and the like, or 'every 90m'."""
    payload, said = read_payload(data), _said(options)
    _tell(broker.visit(lambda events: events.cron.create(name, expression, topic, payload, **said)), as_json)


@cron.command(epilog=examples("tieline cron update heart --expression 'every 30s'"))
@click.argument("name")
@click.option("--expression", help="When it recurs.")
@click.option("--topic", help="Of its events or calls.")
@click.option("--data", help="Their payload: JSON, @FILE, or - for stdin.")
@_options
def update(name: str, *, broker: Broker, as_json: bool, data: str | None, **options: Any) -> None:
    """Change a task; what is not named stays."""
    said = _said(options) | ({} if data is None else {"data": read_payload(data)})
    if not said:
        raise click.UsageError("say what is to change: tieline cron update --help lists it")
    _tell(broker.visit(lambda events: events.cron.update(name, **said)), as_json)


@cron.command(epilog=examples("tieline cron pause heart"))
@click.argument("name")
@json_option
@with_broker
def pause(name: str, *, broker: Broker, as_json: bool) -> None:
    """Let no tick come until `resume`."""
    _tell(broker.visit(lambda events: events.cron.pause(name)), as_json)


@cron.command(epilog=examples("tieline cron resume heart"))
@click.argument("name")
@json_option
@with_broker
def resume(name: str, *, broker: Broker, as_json: bool) -> None:
    """Let ticks come again, from now on."""
    _tell(broker.visit(lambda events: events.cron.resume(name)), as_json)


@cron.command(epilog=examples("tieline cron run heart"))
@click.argument("name")
@json_option
@with_broker
def run(name: str, *, broker: Broker, as_json: bool) -> None:
    """Run a task once besides its ticks, also if it is paused."""
    ran = broker.visit(lambda events: events.cron.run_now(name))
    click.echo(json_text({"id": ran}) if as_json else f"ran {visible(name)}: {ran}")


@cron.command(epilog=examples("tieline cron delete heart --yes"))
@click.argument("name")
@yes_option
@json_option
@with_broker
def delete(name: str, *, broker: Broker, as_json: bool, yes: bool) -> None:
    """Forget a task."""
    confirm(f"Delete the cron task {name}?", yes=yes)
    job = broker.visit(lambda events: events.cron.delete(name))
    click.echo(json_text(job) if as_json else f"deleted {visible(job.name)}")


def _tell(job: CronJob, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(job))
        return
    following = "is paused" if job.paused else f"ticks next at {clock(job.next)} ({away(job.next)})"
    click.echo(visible(f"{job.name} ({job.expression}) {following if job.next or job.paused else 'has no tick left'}"))
