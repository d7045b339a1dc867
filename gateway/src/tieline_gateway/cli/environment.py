"""Variables of the environment that look like ours and are none: most likely misspelled, and without effect."""

from __future__ import annotations

import difflib
import os
import re

import click

from tieline_gateway.cli.gateway_options import CONFIG_VARIABLE, environment_names
from tieline_gateway.cli.page import visible
from tieline_gateway.run import PARENT
from tieline_gateway.webhooks.sources import VARIABLE

_PREFIX = "TIELINE_"
_OTHERS = {"TIELINE_SERVICE", "TIELINE_DEBUG", "TIELINE_CORRELATION_ID", "TIELINE_SOURCE", "TIELINE_TOPIC", PARENT}
"""Those of the clients, and those that `tieline reply --command` and `tieline run` give to their programs."""
_of_an_orchestrator = re.compile(r"TIELINE_(?:\w+_)?(?:PORT(?:_\w+)?|SERVICE_(?:HOST|PORT)(?:_\w+)?)").fullmatch
"""Kubernetes tells every container of a service named `tieline…` in this way."""


def warn_of_unknown_variables() -> None:
    """Say on stderr which variables have no effect, one a line, with the name that may have been meant."""
    for sentence in _unknown():
        click.echo(f"tieline: warning: {sentence}", err=True)


def _unknown() -> list[str]:
    known = {*environment_names(), CONFIG_VARIABLE, *_OTHERS}
    given = (name for name, value in os.environ.items() if name.upper().startswith(_PREFIX) and value)
    strange = (name for name in sorted(given) if not (name in known or VARIABLE.fullmatch(name)))
    return [_sentence(name, known) for name in strange if not _of_an_orchestrator(name)]


def _sentence(name: str, known: set[str]) -> str:
    meant = sorted(each.removeprefix(_PREFIX) for each in known - _OTHERS | {"TIELINE_SERVICE"})
    given = name.upper().removeprefix(_PREFIX)
    near = difflib.get_close_matches(given, meant, 1, 0.7)
    near += [each for each in meant if each.startswith(f"{given}_") and each not in near]
    advice = f"did you mean {' or '.join(f'{_PREFIX}{each}' for each in near)}?"
    return f"{visible(name)}: {advice if near else 'it means nothing to Tieline, and is ignored'}"
