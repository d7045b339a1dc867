"""`tieline config`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from tieline_gateway.cli.environment import warn_of_unknown_variables
from tieline_gateway.cli.gateway_options import (
    gateway_options,
    gateway_settings,
    value_source,
    with_gateway_options,
)
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import print_json
from tieline_gateway.cli.visit import USAGE, fail
from tieline_gateway.passwords import without_password
from tieline_gateway.preparation import prepare
from tieline_gateway.settings_error import SettingsError

_HEADS = ("SETTING", "VALUE", "FROM")


@click.group()
def config() -> None:
    """Look at what can be set."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def show(context: click.Context, *, as_json: bool, **_options: Any) -> None:
    """Tell what `tieline up` would use, and where each value comes from: a flag, the environment, the file, a default.

    All files that are named are read. Ends with 2 if something cannot be meant, as `tieline up` would.
    """
    warn_of_unknown_variables()
    try:
        settings = gateway_settings(context)
        prepare(settings)
    except SettingsError as error:
        fail(str(error), USAGE)
    rows = [(str(option.name), _value(context, option), value_source(context, option)) for option in gateway_options()]
    tables = msgspec.to_builtins(settings.tables)
    if as_json:
        print_json({"settings": {name: {"value": value, "from": source} for name, value, source in rows}, **tables})
        return
    page = Page()
    page.table(
        _HEADS,
        [(name, visible(_text(value)), source) for name, value, source in rows],
        [""] * len(rows),
        indent=0,
        below=4,
    )
    for kind, named in tables.items():
        page.line(f"{kind}: {', '.join(map(visible, named)) if named else 'none'}")


with_gateway_options(show)


def _value(context: click.Context, option: click.Option) -> Any:
    value = context.params[str(option.name)]
    if isinstance(value, str):
        return without_password(value)
    return value if value is None or isinstance(value, int | float | tuple) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        value = ", ".join(value)
    return "–" if value in (None, "") else str(value)
