"""`tieline up`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel

from tieline.errors import InvalidArgumentError, TielineError
from tieline_gateway.address import AddressError
from tieline_gateway.app import run
from tieline_gateway.cli.environment import warn_of_unknown_variables
from tieline_gateway.cli.exit_codes import exit_code
from tieline_gateway.cli.gateway_options import gateway_settings, with_gateway_options
from tieline_gateway.cli.group import examples
from tieline_gateway.demo.beside import run_with_demo
from tieline_gateway.logs import begin_logging
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.settings_error import SettingsError

_FAILED, _USAGE = 1, 2


@click.command(
    epilog=examples(
        "tieline up                                            the broker is this process",
        "tieline up --demo                                     with services to look at",
        "tieline up --url redis://127.0.0.1:6379 --history     in front of Redis, with history",
    )
)
@click.option("--demo", is_flag=True, help="Start a few services beside it, with something to look at.")
@click.pass_context
def up(context: click.Context, *, demo: bool, **_options: Any) -> None:
    """Serve gRPC and HTTP: embedded, or in front of Redis.

    Settings may also come from the environment, as TIELINE_<FLAG>, and from a file; `tieline config show` tells what
    holds. SIGTERM lets calls under way finish.
    """
    warn_of_unknown_variables()
    try:
        settings = gateway_settings(context)
        begin_logging(settings.log_format, verbose=settings.verbose)
        if settings.insecure and not settings.listen.is_loopback and not settings.protected:
            _warn(settings)
        _run_loop(run_with_demo(settings, click.echo) if demo else run(settings, click.echo))
    except (SettingsError, InvalidArgumentError) as error:
        _fail(str(error), _USAGE)
    except AddressError as error:
        _fail(str(error), _FAILED)
    except TielineError as error:
        _fail(str(error), exit_code(error))


with_gateway_options(up)


def _run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run it on uvloop where that is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def _warn(settings: GatewaySettings) -> None:
    text = f"Everyone who can reach {settings.listen} can publish, call and subscribe: no TLS, or no authentication."
    Console(stderr=True).print(Panel(text, title="INSECURE", border_style="bold red"))


def _fail(message: str, code: int) -> None:
    click.echo(f"tieline: {message}", err=True)
    sys.exit(code)
