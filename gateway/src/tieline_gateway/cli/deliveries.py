"""`tieline webhook deliveries` and `resume`: what a gateway sends to others, and how one goes on that has stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from tieline_gateway.cli.group import examples
from tieline_gateway.cli.listing import Column, away, show_list
from tieline_gateway.cli.over_http import Web, with_web
from tieline_gateway.cli.page import visible
from tieline_gateway.cli.visit import json_option

_PATH = "/v1/webhooks"
_COLUMNS: tuple[Column[dict[str, Any]], ...] = (
    Column("DELIVERY", lambda one: one["name"]),
    Column("TOPIC", lambda one: one["topic"]),
    Column("TO", lambda one: one["url"]),
    Column("STATE", lambda one: one["state"]),
    Column("WAITING", lambda one: "?" if one["waiting"] is None else f"{one['waiting']:,}"),
    Column("SENT", lambda one: f"{one['delivered']:,}"),
    Column("FAILED", lambda one: f"{one['failed']:,}"),
    Column("LAST", lambda one: away(_moment(one["last"]))),
    Column("ANSWER", lambda one: one["last_error"] or one["last_status"] or ""),
)


@click.command(epilog=examples("tieline webhook deliveries", "tieline webhook deliveries --json"))
@json_option
@with_web
def deliveries(*, web: Web, as_json: bool) -> None:
    """List what a gateway sends to others: state, what waits, what was answered last."""
    found = web.ask("GET", _PATH)["deliveries"]
    nothing = "This gateway sends nothing to others: it has no [deliveries.NAME]."
    show_list(found, _COLUMNS, as_json=as_json, nothing=nothing)


@click.command(epilog=examples("tieline webhook resume crm"))
@click.argument("name")
@json_option
@with_web
def resume(name: str, *, web: Web, as_json: bool) -> None:
    """Have the delivery NAME go on that stopped because it was answered 410 Gone.

    What waits is sent. It is the gateway which is asked that goes on: one is enough, however many there are.
    """
    one = web.ask("POST", f"{_PATH}/deliveries/{quote(name, safe='')}/resume")
    if as_json:
        show_list([one], _COLUMNS, as_json=True, nothing="")
    else:
        where = f"{one['waiting']} wait to be sent to {visible(one['url'])}"
        click.echo(f"{visible(one['name'])} is {one['state']}; {where}")


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
