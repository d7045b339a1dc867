"""`tieline up`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.panel import Panel

from tieline._contract.contract import DEFAULT_DRAIN_MS
from tieline.errors import InvalidArgumentError, TielineError
from tieline_gateway.address import AddressError, parse_address
from tieline_gateway.app import run
from tieline_gateway.settings import DEFAULT_HTTP, DEFAULT_LISTEN, HISTORY_HERE, NO_HTTP, GatewaySettings, SettingsError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FAILED, _USAGE = 1, 2
_OPTIONS = [
    click.option(
        "--listen", default=DEFAULT_LISTEN, show_default=True, envvar="TIELINE_LISTEN", help="host:port for gRPC."
    ),
    click.option(
        "--http",
        default=DEFAULT_HTTP,
        show_default=True,
        envvar="TIELINE_HTTP",
        help=f"host:port for HTTP: API, webhooks, dashboard; {NO_HTTP!r} for none.",
    ),
    click.option(
        "--url",
        "--redis-url",
        default="",
        envvar=["TIELINE_URL", "REDIS_URL"],
        help="Redis; without it, or with memory://, the broker is embedded.",
    ),
    click.option("--namespace", default="", envvar="TIELINE_NAMESPACE", help="Separates installations on one Redis."),
    click.option(
        "--store",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="TIELINE_STORE",
        help="SQLite file in which the embedded broker keeps results of idempotency keys, and, in FILE-mail beside it, "
        "durable events; memory without it.",
    ),
    click.option(
        "--history",
        is_flag=False,
        flag_value=HISTORY_HERE,
        default="",
        envvar="TIELINE_HISTORY",
        metavar="[URL]",
        help="Record events in SQL, and answer for history: sqlite:///FILE or postgresql://…; without a URL in a file "
        "beside the store, or in tieline-history here.",
    ),
    click.option(
        "--history-topic",
        "history_topics",
        multiple=True,
        envvar="TIELINE_HISTORY_TOPIC",
        metavar="PATTERN",
        help="Record these topics only, from now on; may be repeated.",
    ),
    click.option(
        "--history-days",
        type=click.FloatRange(0, min_open=True),
        envvar="TIELINE_HISTORY_DAYS",
        help="How long events are kept; for ever without it.",
    ),
    click.option(
        "--history-max-events",
        type=click.IntRange(0),
        default=0,
        envvar="TIELINE_HISTORY_MAX_EVENTS",
        help="The oldest beyond so many go.",
    ),
    click.option(
        "--history-max-bytes",
        type=click.IntRange(0),
        default=0,
        envvar="TIELINE_HISTORY_MAX_BYTES",
        help="The oldest beyond so many bytes go, about.",
    ),
    click.option("--tls-cert", type=_FILE, envvar="TIELINE_TLS_CERT", help="PEM file of this server's certificate."),
    click.option("--tls-key", type=_FILE, envvar="TIELINE_TLS_KEY", help="PEM file of its private key."),
    click.option("--tls-client-ca", type=_FILE, envvar="TIELINE_TLS_CLIENT_CA", help="Clients need its certificates."),
    click.option("--token-file", type=_FILE, envvar="TIELINE_TOKEN_FILE", help="Clients need the token in this file."),
    click.option("--insecure", is_flag=True, help="Serve a non-loopback address without TLS and authentication."),
    click.option(
        "--drain",
        type=click.FloatRange(0, 3600),
        default=DEFAULT_DRAIN_MS / 1000,
        show_default=True,
        envvar="TIELINE_DRAIN",
        metavar="SECONDS",
        help="How long calls under way may take at the end.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Log more."),
]


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command()
@_with_options
def up(*, listen: str, http: str, verbose: bool, **options: Any) -> None:
    """Serve gRPC and HTTP: embedded, or in front of Redis.

    Settings may come from the environment as TIELINE_<FLAG>; flags win. SIGTERM lets calls under way finish.
    """
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = GatewaySettings(
            listen=parse_address(listen), http=None if http == NO_HTTP else parse_address(http), **options
        )
        settings.check()
        if settings.url.startswith("grpc"):
            raise SettingsError(_in_front_of_a_gateway())
        if settings.insecure and not settings.listen.is_loopback and not settings.protected:
            _warn(settings)
        _run_loop(run(settings, click.echo))
    except (SettingsError, InvalidArgumentError) as error:
        _fail(str(error), _USAGE)
    except (AddressError, TielineError) as error:
        _fail(str(error), _FAILED)


def _in_front_of_a_gateway() -> str:
    """Where the URL came from: a shell may be set up for the clients of a gateway."""
    from_environment = click.get_current_context().get_parameter_source("url") is ParameterSource.ENVIRONMENT
    name = "TIELINE_URL" if os.environ.get("TIELINE_URL") else "REDIS_URL"
    advice = f"unset {name}, or give --url memory:// or" if from_environment else "give memory:// or"
    return (
        "a gateway stands in front of Redis or is embedded; it cannot stand in front of a gateway "
        f"({name if from_environment else '--url'} is grpc://…; {advice} redis://…)"
    )


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
