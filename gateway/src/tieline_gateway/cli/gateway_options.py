"""What can be set for a gateway, on the command line, in the environment, or in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from tieline._contract.contract import DEFAULT_DRAIN_MS, DEFAULT_FAREWELL_MS
from tieline.errors import InvalidArgumentError
from tieline_gateway.address import Address, parse_address
from tieline_gateway.config import NO_CONFIG, Config, read_config
from tieline_gateway.settings import (
    DEFAULT_HTTP,
    DEFAULT_LISTEN,
    HISTORY_HERE,
    LOG_FORMATS,
    NO_HTTP,
    GatewaySettings,
    SettingsError,
)
from tieline_gateway.webhooks.sources import with_flags_and_environment

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONFIG = f"{__name__}.config"
CONFIG_VARIABLE = "TIELINE_CONFIG"


class _Setting(click.Option):
    """An option that says where a wrong value was found, if not on the command line."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """See `click.Parameter`."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            place = value_source(ctx, self)
            error.param_hint = f"'{self.opts[0]}' ({place})" if not place.startswith("flag") else None
            raise


def value_source(context: click.Context, option: click.Option) -> str:
    """Where the value of an option comes from."""
    match context.get_parameter_source(str(option.name)):
        case ParameterSource.COMMANDLINE:
            return f"flag {option.opts[0]}"
        case ParameterSource.ENVIRONMENT:
            names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
            return f"environment {next(name for name in names if os.environ.get(name))}"
        case ParameterSource.DEFAULT_MAP:
            return f"file, {option.name}"
        case _:
            return "default"


def _read_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Let what the file says be the defaults of everything else."""
    if path is None:
        return
    named = {option.name: option for option in _OPTIONS if option.name}
    try:
        config = read_config(path, {name: _type(option) for name, option in named.items()})
    except SettingsError as error:
        raise click.BadParameter(str(error), context, parameter) from None
    context.meta[_CONFIG] = config
    context.default_map = {name: _placed(named[name], value, path) for name, value in config.values.items()}


def _type(option: click.Option) -> Any:
    """What a value of this option is in TOML."""
    if option.is_flag and option.is_bool_flag:
        return bool
    if option.multiple:
        return list[str]
    types: dict[type[click.ParamType[Any]], Any] = {click.IntRange: int, click.FloatRange: float}
    return types.get(type(option.type), str)


def _placed(option: click.Option, value: Any, path: Path) -> Any:
    """The names of files are told from where the configuration is."""
    return str(path.parent.joinpath(value)) if isinstance(option.type, click.Path) else value


_OPTIONS = [
    _Setting(["--listen"], default=DEFAULT_LISTEN, show_default=True, help="host:port for gRPC."),
    _Setting(
        ["--http"],
        default=DEFAULT_HTTP,
        show_default=True,
        help=f"host:port for HTTP: API, webhooks, dashboard; {NO_HTTP!r} for none.",
    ),
    _Setting(
        ["--url", "--redis-url"],
        default="",
        envvar=["TIELINE_URL", "REDIS_URL"],
        help="Redis; without it, or with memory://, the broker is embedded.",
    ),
    _Setting(
        ["--http-host", "http_hosts"],
        multiple=True,
        metavar="NAME",
        help="A name under which browsers may reach HTTP, as behind a proxy; may be repeated.",
    ),
    _Setting(["--namespace"], default="", help="Separates installations on one Redis."),
    _Setting(
        ["--store"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="SQLite file in which the embedded broker keeps results of idempotency keys, and, in FILE-mail beside it, "
        "durable events; memory without it.",
    ),
    _Setting(
        ["--history"],
        is_flag=False,
        flag_value=HISTORY_HERE,
        default="",
        metavar="[URL]",
        help="Record events in SQL, and answer for history: sqlite:///FILE or postgresql://…; without a URL in a file "
        "beside the store, or in tieline-history here.",
    ),
    _Setting(
        ["--history-topic", "history_topics"],
        multiple=True,
        envvar="TIELINE_HISTORY_TOPIC",
        metavar="PATTERN",
        help="Record these topics only, from now on; may be repeated.",
    ),
    _Setting(
        ["--history-days"],
        type=click.FloatRange(0, min_open=True),
        help="How long events are kept; for ever without it.",
    ),
    _Setting(["--history-max-events"], type=click.IntRange(0), default=0, help="The oldest beyond so many go."),
    _Setting(
        ["--history-max-bytes"], type=click.IntRange(0), default=0, help="The oldest beyond so many bytes go, about."
    ),
    _Setting(["--tls-cert"], type=_FILE, help="PEM file of this server's certificate."),
    _Setting(["--tls-key"], type=_FILE, help="PEM file of its private key."),
    _Setting(["--tls-client-ca"], type=_FILE, help="Clients need its certificates."),
    _Setting(["--token-file"], type=_FILE, help="Clients need the token in this file."),
    _Setting(["--tokens"], type=_FILE, help="Clients need a token from this file, which `tieline token` makes."),
    _Setting(["--insecure"], is_flag=True, help="Serve a non-loopback address without TLS and authentication."),
    _Setting(
        ["--drain"],
        type=click.FloatRange(0, 3600),
        default=DEFAULT_DRAIN_MS / 1000,
        show_default=True,
        metavar="SECONDS",
        help="How long calls under way may take at the end.",
    ),
    _Setting(
        ["--farewell"],
        type=click.FloatRange(0, 3600),
        default=DEFAULT_FAREWELL_MS / 1000,
        show_default=True,
        metavar="SECONDS",
        help="How long calls are still taken in front of Redis, before that, by a gateway that said that it is about "
        "to stop: until clients, or what balances their load, have gone to another one.",
    ),
    _Setting(
        ["--webhook", "webhook"],
        multiple=True,
        envvar="TIELINE_WEBHOOK",
        metavar="NAME[:KIND]=FILE",
        help="Take POST /webhooks/NAME, signed with a secret in FILE; KIND is github, or standard for Standard "
        "Webhooks. May be repeated; the file has more of it: [webhooks.NAME], and [deliveries.NAME] for the way out.",
    ),
    _Setting(
        ["--log-format"],
        type=click.Choice(LOG_FORMATS),
        default=LOG_FORMATS[0],
        show_default=True,
        help="For people, or one JSON object a line.",
    ),
    _Setting(["--verbose", "-v"], is_flag=True, help="Log more."),
]
_FILE_OPTION = click.Option(
    ["--config"],
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar=CONFIG_VARIABLE,
    is_eager=True,
    expose_value=False,
    callback=_read_file,
    help="TOML file with any of these, `_` for `-`, and more.",
)


def with_gateway_options(command: click.Command) -> click.Command:
    """Give a command all that can be set for a gateway."""
    for option in _OPTIONS:
        option.envvar = option.envvar or environment_name(option)
    command.params[:0] = [_FILE_OPTION, *_OPTIONS]
    return command


def environment_name(option: click.Option) -> str:
    """TIELINE_<FLAG>."""
    return f"TIELINE_{option.name}".upper()


def gateway_settings(context: click.Context) -> GatewaySettings:
    """Make settings of what was given, and check them.

    Raises:
        SettingsError: they cannot be meant.

    """
    values = {option.name: context.params[option.name] for option in _OPTIONS if option.name}
    http = values.pop("http")
    tables = config_of(context).tables
    webhooks = with_flags_and_environment(tables.webhooks, values.pop("webhook"), os.environ)
    settings = GatewaySettings(
        listen=_address(context, "listen", values.pop("listen")),
        http=None if http == NO_HTTP else _address(context, "http", http),
        tables=msgspec.structs.replace(tables, webhooks=webhooks),
        **values,
    )
    if settings.url.startswith("grpc"):
        raise SettingsError(_in_front_of_a_gateway(context))
    settings.check()
    return settings


def _in_front_of_a_gateway(context: click.Context) -> str:
    """Where the URL came from: a shell may be set up for the clients of a gateway."""
    from_environment = context.get_parameter_source("url") is ParameterSource.ENVIRONMENT
    name = "TIELINE_URL" if os.environ.get("TIELINE_URL") else "REDIS_URL"
    advice = f"unset {name}, or give --url memory:// or" if from_environment else "give memory:// or"
    return (
        "a gateway stands in front of Redis or is embedded; it cannot stand in front of a gateway "
        f"({name if from_environment else '--url'} is grpc://…; {advice} redis://…)"
    )


def _address(context: click.Context, name: str, text: str) -> Address:
    """An address, or an error that says where the text was found."""
    try:
        return parse_address(text)
    except InvalidArgumentError as error:
        place = value_source(context, next(option for option in _OPTIONS if option.name == name))
        raise SettingsError(f"{error.message} ({place})") from None


def environment_names() -> set[str]:
    """All variables of the environment that say something to a gateway."""
    names = [option.envvar or environment_name(option) for option in _OPTIONS]
    return {name for each in names for name in ([each] if isinstance(each, str) else each)}


def config_of(context: click.Context) -> Config:
    """What the file said."""
    return context.meta.get(_CONFIG, NO_CONFIG)


def gateway_options() -> list[click.Option]:
    """All that can be set, in the order of the help."""
    return list(_OPTIONS)
