"""`tieline run`: forwards to the Python client."""

from __future__ import annotations

import os
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> None:
    """Serve the handlers of a Python module."""
    os.execv(sys.executable, [sys.executable, "-m", "tieline_gateway.run", *arguments])  # noqa: S606 - no shell wanted
