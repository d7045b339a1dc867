"""The command line: `tieline up`, `call`, `pub`, `sub` and all the others."""

from __future__ import annotations

import click

from tieline._contract.contract import CONTRACT_VERSION
from tieline_gateway.cli.group import Commands, examples

_SECTIONS = {
    "Send and receive": {
        "pub": "pub:pub",
        "call": "call:call",
        "sub": "sub:sub",
        "reply": "reply:reply",
    },
    "Look inside": {
        "services": "services:services",
        "explain": "explain:explain",
        "history": "history:history",
        "asyncapi": "services:asyncapi",
        "doctor": "doctor:doctor",
    },
    "Look after": {
        "dlq": "dlq:dlq",
        "parked": "parked:parked",
        "groups": "groups:groups",
        "schedule": "schedule:schedule",
        "cron": "cron:cron",
        "replay": "replay:replay",
    },
    "Serve": {
        "up": "up:up",
        "config": "config:config",
        "run": "run:run",
        "token": "token:token",
        "webhook": "webhook:webhook",
        "bench": "bench:bench",
        "completion": "completion:completion",
        "version": "version:version",
    },
}


@click.group(
    cls=Commands,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "tieline up --demo                          a gateway with something to look at",
        "tieline call calculate.sum '[1, 2, 3]'     a call, and its reply",
        "tieline sub 'order.>'                      what happens now",
    ),
)
@click.version_option(package_name="tieline-gateway", message=f"%(package)s %(version)s (agreement {CONTRACT_VERSION})")
def cli() -> None:
    """Tieline joins services written in different languages.

    Most commands go to a broker, Redis or a gateway: --url, else TIELINE_URL, else REDIS_URL.
    """
